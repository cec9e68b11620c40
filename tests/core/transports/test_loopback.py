"""The leg for tests keeps time and ends like a real one."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core.errors import Busy, CallEnded, TransferFailed
from core.leg import AudioReceived, CallLeg, DigitReceived, EndReason, HoldChanged, LegEnded, LegEvent
from core.transports.clock import LoopClock, VirtualClock
from core.transports.loopback import LoopbackCaller, LoopbackTransport

PACKET = b"\x01\x00" * 160


class Bench:
    """A transport whose handler does what the test says, and notes every event."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.transport = LoopbackTransport(clock=self.clock)
        self.talk: Callable[[CallLeg], Awaitable[None]] = _nothing
        self.legs: list[CallLeg] = []
        self.events: list[LegEvent] = []

    async def handle(self, leg: CallLeg) -> None:
        self.legs.append(leg)
        await leg.answer()
        await self.talk(leg)
        while not self.events or not isinstance(self.events[-1], LegEnded):
            self.events.append(await leg.receive())

    async def up(self) -> LoopbackCaller:
        caller = self.transport.call("agent", caller="alice", parameters={"a": "b"})
        assert await caller.answered() == 200
        return caller


async def _nothing(leg: CallLeg) -> None:
    return


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.get_running_loop().create_task(bench.transport.run(bench.handle))
    yield bench
    running.cancel()
    await asyncio.wait({running})
    assert not bench.transport.ready


async def test_what_is_said_arrives_packet_by_packet(bench: Bench) -> None:
    caller = await bench.up()
    caller.speak(PACKET * 2)
    await bench.clock.advance(0.1)
    audio = [event for event in bench.events if isinstance(event, AudioReceived)]
    assert len(audio) == 6
    assert [any(event.pcm) for event in audio].count(True) == 2
    gaps = [later.received_at_s - first.received_at_s for first, later in itertools.pairwise(audio)]
    assert gaps == [pytest.approx(0.02)] * 5
    assert not caller.speaking


async def test_play_keeps_pace_and_is_heard_in_time(bench: Bench) -> None:
    caller = await bench.up()
    leg = bench.legs[0]
    playing = asyncio.ensure_future(leg.play(PACKET * 50))
    await bench.clock.advance(0.5)
    assert not playing.done()
    assert leg.played_ms == pytest.approx(500, abs=40)
    await bench.clock.advance(0.5)
    assert playing.done()
    await bench.clock.advance(0.2)
    assert caller.heard.count(b"\x01") == 50 * 160
    assert leg.queued_ms == 0


async def test_cleared_playback_is_silence_in_the_next_packet(bench: Bench) -> None:
    caller = await bench.up()
    leg = bench.legs[0]
    playing = asyncio.ensure_future(leg.play(PACKET * 50))
    await bench.clock.advance(0.1)
    leg.clear_playback()
    heard = len(caller.heard)
    await bench.clock.advance(0.1)
    await playing
    assert not any(caller.heard[heard:])
    assert leg.played_ms < 150


async def test_digits_and_hold_go_both_ways(bench: Bench) -> None:
    caller = await bench.up()
    caller.press("1#")
    caller.hold()
    caller.hold()
    await bench.clock.advance(0.04)
    heard = len(caller.heard)
    await bench.clock.advance(0.1)
    assert len(caller.heard) == heard
    caller.resume()
    await bench.legs[0].send_digits("5a")
    await bench.clock.advance(0.1)
    assert caller.digits == "5A"
    with pytest.raises(ValueError, match="key"):
        await bench.legs[0].send_digits("x")
    seen = [event for event in bench.events if not isinstance(event, AudioReceived)]
    assert seen == [DigitReceived("1"), DigitReceived("#"), HoldChanged(True), HoldChanged(False)]


async def test_hang_up_of_the_caller_ends_everything(bench: Bench) -> None:
    caller = await bench.up()
    await bench.clock.advance(0.04)
    caller.hang_up()
    await bench.clock.advance(0.04)
    assert bench.events[-1] == LegEnded(EndReason.CALLER_HUNG_UP)
    leg = bench.legs[0]
    assert await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP)
    for attempt in (leg.play(PACKET), leg.send_digits("1"), leg.transfer("x"), leg.answer()):
        with pytest.raises(CallEnded):
            await attempt
    assert leg.statistics().packets_received > 0


async def test_transfer_and_its_refusal(bench: Bench) -> None:
    caller = await bench.up()
    caller.leg.accepts_transfer = False
    with pytest.raises(TransferFailed):
        await bench.legs[0].transfer("1002")
    caller.leg.accepts_transfer = True
    await bench.legs[0].transfer("1002")
    await bench.clock.advance(0.04)
    assert (caller.leg.transfer_target, bench.events[-1]) == ("1002", LegEnded(EndReason.TRANSFERRED))


@pytest.mark.parametrize(("error", "status"), [(Busy(), 503), (RuntimeError("a defect"), 500), (None, 480)])
async def test_handler_that_does_not_answer_refuses(error: Exception | None, status: int) -> None:
    async def handle(leg: CallLeg) -> None:
        if error is not None:
            raise error

    transport = LoopbackTransport()
    running = asyncio.get_running_loop().create_task(transport.run(handle))
    assert await transport.call().answered() == status
    await transport.drain()
    assert await transport.call().answered() == 503
    running.cancel()
    await asyncio.wait({running})


async def test_caller_that_gives_up_is_told_of(bench: Bench) -> None:
    caller = bench.transport.call()
    caller.hang_up()
    assert await caller.answered() == 487
    await bench.clock.advance(0.01)
    assert await bench.legs[0].receive() == LegEnded(EndReason.CALLER_CANCELLED)


async def test_loop_clock_is_real_time() -> None:
    clock = LoopClock()
    before = clock.now()
    await clock.sleep_until(before + 0.02)
    assert clock.now() - before >= 0.02


async def test_virtual_clock_wakes_in_the_order_of_deadlines() -> None:
    clock = VirtualClock(start_s=0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, deadline_s: float) -> None:
        await clock.sleep_until(deadline_s)
        woken.append((name, clock.now()))

    tasks = [asyncio.ensure_future(sleeper(name, at)) for name, at in (("late", 3), ("early", 1), ("past", -1))]
    await clock.advance(2)
    assert woken == [("past", 0), ("early", 1)]
    await clock.advance(2)
    assert woken[-1] == ("late", 3)
    await asyncio.gather(*tasks)
