"""What every `CallLeg` promises, whatever carries it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import WSCloseCode

from core.errors import Busy, CallEnded
from core.leg import AudioReceived, CallLeg, DigitReceived, EndReason, HoldChanged, LegEnded, LegEvent
from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.transports.loopback import LoopbackTransport
from core.transports.registry import known_transports
from tests.core.transports.opensips.rig import OFFER, Rig
from tests.core.transports.twilio.rig import running
from tools.caller.opensips import OpenSipsStandIn

PACKET = b"\x01\x00" * 160


@dataclass
class Call:
    """A leg that has just been offered, and what its caller can do; `hold` where the transport knows it."""

    leg: CallLeg
    status: Callable[[], Awaitable[int]]
    press: Callable[[str], Awaitable[None]]
    hold: Callable[[bool], Awaitable[None]] | None
    hang_up: Callable[[], Awaitable[None]]


class Handler:
    """Hands the leg over to the test, and stays until it has ended."""

    def __init__(self) -> None:
        self.leg: asyncio.Future[CallLeg] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def __call__(self, leg: CallLeg) -> None:
        self.leg.set_result(leg)
        await self.over.wait()


@asynccontextmanager
async def loopback() -> AsyncIterator[Call]:
    handler = Handler()
    transport = LoopbackTransport()
    running = asyncio.get_running_loop().create_task(transport.run(handler))
    caller = transport.call("agent", caller="alice")

    async def press(digits: str) -> None:
        caller.press(digits)

    async def hold(held: bool) -> None:
        (caller.hold if held else caller.resume)()

    async def hang_up() -> None:
        caller.hang_up()

    yield Call(await handler.leg, caller.answered, press, hold, hang_up)
    handler.over.set()
    running.cancel()
    await asyncio.wait({running})


@asynccontextmanager
async def opensips() -> AsyncIterator[Call]:
    plane = MediaPlane(MediaSettings(rtp_bind_ip="127.0.0.1", rtp_min_port=20000, rtp_max_port=59998))
    plane.start()
    stand_in = OpenSipsStandIn()
    await stand_in.start()
    rig = Rig(stand_in, plane)
    handler = Handler()
    rig.handler = handler
    await rig.connect()
    phone = stand_in.invite(OFFER, caller="alice", called="agent")

    async def status() -> int:
        reply = await phone.final()
        phone.ack()
        return reply.status

    async def press(digits: str) -> None:
        for digit in digits:
            assert (await phone.info(f"Signal={digit}")).status == 200

    async def hold(held: bool) -> None:
        offer = OFFER.replace("sendrecv", "sendonly" if held else "sendrecv")
        assert (await phone.reinvite(offer)).status == 200

    async def hang_up() -> None:
        await (phone.bye() if phone.session is not None and phone.session.state >= 4 else phone.cancel())

    yield Call(await handler.leg, status, press, hold, hang_up)
    handler.over.set()
    await rig.quiet()
    await rig.disconnect()
    await stand_in.stop()
    plane.close()


@asynccontextmanager
async def twilio() -> AsyncIterator[Call]:
    async with running() as rig:
        rig.handler.answers = False
        phone, leg = await rig.call(From="client:alice", To="sip:agent@example.com")

        async def status() -> int:
            """A stream knows no statuses: one that stays open is answered, one that is closed says why."""
            try:
                async with asyncio.timeout(0.2):
                    code = await phone.closed()
            except TimeoutError:
                return 200
            return 503 if code == WSCloseCode.TRY_AGAIN_LATER else 487

        async def press(digits: str) -> None:
            for digit in digits:
                await phone.press(digit)

        yield Call(leg, status, press, None, phone.hang_up)


EVERY = {make.__name__: make for make in (loopback, opensips, twilio)}


# Twilio does not tell of it.
TOLD_OF_HOLD = ("loopback", "opensips")


@pytest.fixture(params=EVERY.values(), ids=list(EVERY))
async def call(request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    async with request.param() as call:
        yield call
        await call.leg.hang_up(EndReason.OPERATOR)


def test_every_registered_transport_is_here() -> None:
    assert set(known_transports()) == EVERY.keys() - {"loopback"}


async def answer(call: Call) -> None:
    answering = asyncio.ensure_future(call.status())
    await call.leg.answer()
    assert await answering == 200


async def next_other_than_audio(leg: CallLeg) -> LegEvent:
    async with asyncio.timeout(5):
        while isinstance(event := await leg.receive(), AudioReceived):
            pass
    return event


async def test_it_says_who_calls_whom(call: Call) -> None:
    assert (call.leg.info.caller, call.leg.info.called) == ("alice", "agent")
    assert call.leg.info.call_id.isalnum()


async def test_keys_are_reported_in_order(call: Call) -> None:
    await answer(call)
    await call.press("1#")
    seen = [await next_other_than_audio(call.leg) for _ in range(2)]
    assert seen == [DigitReceived("1"), DigitReceived("#")]


@pytest.mark.parametrize("call", [EVERY[name] for name in TOLD_OF_HOLD], ids=TOLD_OF_HOLD, indirect=True)
async def test_keys_and_hold_are_reported_in_order(call: Call) -> None:
    assert call.hold is not None
    await answer(call)
    await call.press("1#")
    await call.hold(True)
    await call.hold(False)
    seen = [await next_other_than_audio(call.leg) for _ in range(4)]
    assert seen == [DigitReceived("1"), DigitReceived("#"), HoldChanged(True), HoldChanged(False)]


async def test_played_audio_is_counted_until_it_is_gone(call: Call) -> None:
    await answer(call)
    async with asyncio.timeout(5):
        await call.leg.play(PACKET * 10)
        while call.leg.queued_ms > 0:
            await asyncio.sleep(0.01)
    assert call.leg.played_ms == pytest.approx(200)


async def test_cleared_playback_is_neither_queued_nor_played(call: Call) -> None:
    await answer(call)
    playing = asyncio.ensure_future(call.leg.play(PACKET * 100))
    await asyncio.sleep(0.06)
    call.leg.clear_playback()
    async with asyncio.timeout(1):
        await playing
    assert call.leg.queued_ms <= 20
    assert call.leg.played_ms < 500


async def test_end_comes_last_and_again(call: Call) -> None:
    await answer(call)
    await call.hang_up()
    assert await next_other_than_audio(call.leg) == LegEnded(EndReason.CALLER_HUNG_UP)
    assert await call.leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP)
    for attempt in (call.leg.play(PACKET), call.leg.send_digits("1"), call.leg.transfer("1"), call.leg.answer()):
        with pytest.raises(CallEnded):
            await attempt
    call.leg.clear_playback()
    await call.leg.hang_up(EndReason.ERROR)
    await call.leg.reject(Busy())
    assert call.leg.statistics().mos >= 0


async def test_hang_up_ends_with_our_own_reason(call: Call) -> None:
    await answer(call)
    await call.leg.hang_up(EndReason.IDLE)
    await call.leg.hang_up(EndReason.OPERATOR)
    assert await next_other_than_audio(call.leg) == LegEnded(EndReason.IDLE)


async def test_caller_that_gives_up_first_cannot_be_answered(call: Call) -> None:
    await call.hang_up()
    assert await next_other_than_audio(call.leg) == LegEnded(EndReason.CALLER_CANCELLED)
    with pytest.raises(CallEnded):
        await call.leg.answer()
    assert await call.status() == 487


async def test_refusal_reaches_the_caller(call: Call) -> None:
    await call.leg.reject(Busy())
    assert await call.status() == 503
    with pytest.raises(CallEnded):
        await call.leg.answer()


async def test_waiting_receive_and_play_end_with_the_call(call: Call) -> None:
    await answer(call)
    playing = asyncio.ensure_future(call.leg.play(PACKET * 500))
    hearing = asyncio.ensure_future(next_other_than_audio(call.leg))
    await asyncio.sleep(0.05)
    await call.hang_up()
    assert await hearing == LegEnded(EndReason.CALLER_HUNG_UP)
    with pytest.raises(CallEnded):
        await playing


async def test_no_key_cannot_be_sent(call: Call) -> None:
    await answer(call)
    with pytest.raises(ValueError, match="key"):
        await call.leg.send_digits("1x")
