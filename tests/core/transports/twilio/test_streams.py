"""Sockets are hostile until they prove otherwise: each ends, is counted, and leaves nothing."""

import asyncio
import contextlib
import json
import random
import socket as sockets

import aiohttp
import pytest
from aiohttp import WSCloseCode
from prometheus_client import REGISTRY

from core.leg import AudioReceived, CallLeg, DigitReceived, EndReason, LegEnded
from tests.core.transports.twilio.rig import CALL_SID, STREAM_SID, Phone, Rig, media, running, start


def discarded(reason: str) -> float:
    return REGISTRY.get_sample_value("oavc_twilio_frames_discarded_total", {"reason": reason}) or 0.0


async def refused(rig: Rig, url: str) -> tuple[int, str]:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await rig.client.ws_connect(url)
    async with rig.client.get(url) as response:
        assert response.status == error.value.status
        return response.status, await response.text()


async def test_token_opens_one_stream(rig: Rig) -> None:
    url = await rig.stream_url()
    phone = await rig.open(url)
    await phone.start()
    await rig.handler.leg()
    assert await refused(rig, url) == (403, "token used\n")


async def test_forged_token_is_refused_before_the_upgrade(rig: Rig) -> None:
    url = await rig.stream_url()
    assert await refused(rig, url[:-3] + "AAA") == (403, "token forged\n")
    assert await refused(rig, url.rpartition("/")[0] + "/x") == (403, "token forged\n")


async def test_expired_token_is_refused() -> None:
    async with running(token_lifetime_s=1) as rig:
        url = await rig.stream_url()
        await asyncio.sleep(1.01)
        assert await refused(rig, url) == (403, "token expired\n")


async def test_second_stream_of_a_call_is_refused_while_one_is_up(rig: Rig) -> None:
    second, third = await rig.stream_url(), await rig.stream_url()
    phone = await rig.open()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="409"):
        await rig.client.ws_connect(second)
    await phone.start()
    leg = await rig.handler.leg()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="409"):
        await rig.client.ws_connect(third)
    await phone.press("5")
    assert await leg.receive() == DigitReceived("5")


async def test_stream_that_never_starts_is_closed() -> None:
    async with running(start_timeout_s=0.1) as rig:
        phone = await rig.open()
        await phone.send({"event": "connected"})
        assert await phone.closed() == WSCloseCode.POLICY_VIOLATION
        assert rig.handler.legs.empty()
        await rig.quiet()
        # Its call may try again.
        again = await rig.open()
        await again.start()
        await rig.handler.leg()


async def test_stream_closed_before_it_starts_is_no_call(rig: Rig) -> None:
    phone = await rig.open()
    await phone.socket.close()
    await rig.quiet()
    assert rig.handler.legs.empty()


async def test_stream_that_names_another_call_is_closed(rig: Rig) -> None:
    phone = await rig.open()
    await phone.start("CA00000000000000000000000000000002")
    assert await phone.closed() == WSCloseCode.POLICY_VIOLATION
    assert rig.handler.legs.empty()


async def test_messages_before_the_start_are_dropped_and_counted(rig: Rig) -> None:
    before = discarded("before_start")
    phone = await rig.open()
    await phone.speak()
    await phone.press("1")
    await phone.start()
    leg = await rig.handler.leg()
    await phone.press("2")
    assert await leg.receive() == DigitReceived("2")
    assert discarded("before_start") == before + 2


async def test_a_few_bad_messages_do_not_end_a_call(rig: Rig) -> None:
    phone, leg = await rig.call()
    before = [discarded(reason) for reason in ("json", "binary", "start_again", "stream_sid")]
    await phone.socket.send_str("{")
    await phone.socket.send_bytes(b"\x00")
    await phone.send(start())
    await phone.send(media(b"\xff", 1, "MZ2"))
    await phone.speak()
    assert isinstance(await leg.receive(), AudioReceived)
    assert [discarded(reason) for reason in ("json", "binary", "start_again", "stream_sid")] == [n + 1 for n in before]


async def test_too_many_bad_messages_end_it() -> None:
    async with running(max_malformed=3) as rig:
        phone, leg = await rig.call()
        for _ in range(4):
            await phone.socket.send_str("{")
        assert await leg.receive() == LegEnded(EndReason.SIGNALLING_LOST, "too much of the stream made no sense")
        assert await phone.closed() == WSCloseCode.POLICY_VIOLATION
        rig.handler.over.set()
        await rig.quiet()
        assert rig.control.hung_up == [CALL_SID]


async def test_audio_faster_than_time_passes_ends_it(rig: Rig) -> None:
    before = discarded("ahead")
    phone, leg = await rig.call()
    second = b"\xff" * 8000
    for number in range(10 + 21):
        await phone.speak(second, timestamp=str(1000 * number))
    assert await phone.closed() == WSCloseCode.POLICY_VIOLATION
    assert discarded("ahead") == before + 21
    assert leg.statistics().packets_received == 10
    while isinstance(last := await leg.receive(), AudioReceived):
        pass
    assert last == LegEnded(EndReason.SIGNALLING_LOST, "too much of the stream made no sense")


async def test_huge_message_ends_it() -> None:
    async with running(max_message_bytes=2048) as rig:
        before = discarded("too_big")
        phone, leg = await rig.call()
        await phone.socket.send_str("x" * 4096)
        assert await leg.receive() == LegEnded(EndReason.SIGNALLING_LOST, "a message was too big")
        assert await phone.closed() == WSCloseCode.MESSAGE_TOO_BIG
        assert discarded("too_big") == before + 1


async def test_silent_stream_is_a_media_timeout_though_it_sends_other_things() -> None:
    async with running(media_timeout_s=0.3) as rig:
        phone, leg = await rig.call()

        async def chatter() -> None:
            while not phone.socket.closed:
                await phone.send({"event": "mark", "streamSid": STREAM_SID, "mark": {"name": "x"}})
                await asyncio.sleep(0.05)

        chatting = asyncio.ensure_future(chatter())
        async with asyncio.timeout(2):
            assert await leg.receive() == LegEnded(EndReason.MEDIA_TIMEOUT, "no media for 0 s")
        chatting.cancel()
        await asyncio.wait({chatting})
        rig.handler.over.set()
        await rig.quiet()
        assert rig.control.hung_up == [CALL_SID]


async def raw_call(rig: Rig) -> tuple[sockets.socket, CallLeg]:
    """A call whose client reads no more. By hand: one of the library's would read ahead."""
    url = await rig.stream_url()
    host, port = rig.root.removeprefix("http://").split(":")
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    path = url.partition(host + ":" + port)[2]
    await loop.sock_sendall(
        raw,
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode(),
    )
    assert b"101" in await loop.sock_recv(raw, 1024)
    text = json.dumps(start()).encode()
    # Masked with zeros (RFC 6455 5.3).
    await loop.sock_sendall(raw, bytes([0x81, 0xFE]) + len(text).to_bytes(2, "big") + bytes(4) + text)
    return raw, await rig.handler.leg()


async def test_connection_of_a_client_that_does_not_read_does_not_outlive_its_call() -> None:
    async with running(lead_ms=5000) as rig:
        raw, leg = await raw_call(rig)
        [unread] = [each for each in rig.connections if each.get_extra_info("peername") == raw.getsockname()]
        while not unread.get_write_buffer_size():
            await leg.play(bytes(3200))
            leg.clear_playback()
            await asyncio.sleep(0)
        await leg.hang_up(EndReason.AGENT_HUNG_UP)
        rig.handler.over.set()
        await rig.quiet()
        await asyncio.sleep(0)
        assert unread.get_write_buffer_size() == 0
        assert unread not in rig.connections
        raw.close()


async def test_client_that_stops_reading_ends_the_call_within_a_bound() -> None:
    async with running(send_timeout_s=0.2, lead_ms=5000, media_timeout_s=30) as rig:
        raw, leg = await raw_call(rig)

        async def talk() -> None:
            while True:
                await leg.play(bytes(320 * 50))
                # What was sent counts as played when its mark is overdue; here that would take too long.
                leg.clear_playback()

        talking = asyncio.ensure_future(talk())
        async with asyncio.timeout(10):
            assert await leg.receive() == LegEnded(EndReason.SIGNALLING_LOST, "nobody reads the stream")
        await asyncio.wait({talking}, timeout=1)
        talking.cancel()
        rig.handler.over.set()
        await rig.quiet()
        raw.close()
        assert rig.control.hung_up == [CALL_SID]


async def test_burst_that_nobody_takes_is_bounded_and_keys_survive_it(rig: Rig) -> None:
    phone, leg = await rig.call()
    await phone.press("7")
    for _ in range(400):
        await phone.speak()
    await phone.press("8")
    while leg.statistics().packets_received < 400:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    statistics = leg.statistics()
    assert statistics.packets_discarded == 400 + 2 - 250
    assert statistics.mos == 0
    events = [await leg.receive() for _ in range(250)]
    assert [event for event in events if isinstance(event, DigitReceived)] == [DigitReceived("7"), DigitReceived("8")]


async def test_connection_that_breaks_is_the_caller_gone(rig: Rig) -> None:
    phone, leg = await rig.call()
    transport = phone.socket._response._connection.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()
    async with asyncio.timeout(5):
        assert await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP, "the stream was closed")
    assert rig.control.hung_up == []


async def abuse(phone: Phone, call_sid: str, chance: random.Random) -> None:
    """One thing that a client may do, sense or none."""
    match chance.randrange(9):
        case 0:
            await phone.start(call_sid)
        case 1:
            await phone.start("CA99")
        case 2:
            await phone.speak(chance.randbytes(chance.randrange(1, 400)))
        case 3:
            await phone.speak(chunk=str(chance.randrange(10**12)))
        case 4:
            await phone.press(chance.choice("19#E"))
        case 5:
            await phone.stop()
        case 6:
            await phone.socket.send_bytes(chance.randbytes(50))
        case 7:
            await phone.socket.send_str("x" * chance.randrange(6000))
        case _:
            await phone.socket.close()


@pytest.mark.parametrize("seed", range(5))
async def test_random_abuse_leaves_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    async with running(start_timeout_s=0.2, media_timeout_s=0.3, max_malformed=5, max_message_bytes=4096) as rig:
        rig.handler.over.set()
        for number in range(8):
            phone = await rig.open(await rig.stream_url(CallSid=f"CA{number}"))
            for _ in range(chance.randrange(12)):
                with contextlib.suppress(ConnectionError):
                    await abuse(phone, f"CA{number}", chance)
        await rig.quiet()
        before = len(asyncio.all_tasks())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        assert (rig.transport.calls, rig.transport.streams) == (0, 0)


async def test_another_replica_takes_the_stream() -> None:
    async with running() as one, running() as other:
        url = (await one.stream_url()).replace(one.root.removeprefix("http"), other.root.removeprefix("http"))
        phone = await other.open(url)
        await phone.start()
        assert (await other.handler.leg()).info.caller == "+15550100"
        assert (one.transport.calls, other.transport.calls) == (0, 1)


async def test_request_that_is_no_upgrade_leaves_nothing(rig: Rig) -> None:
    url = await rig.stream_url()
    async with rig.client.get(url) as response:
        assert response.status == 400
    assert rig.transport.streams == 0
    await rig.call()


async def test_stopping_closes_streams_of_no_call_yet_and_ends_those_that_are_up() -> None:
    async with running() as rig:
        opening = await rig.open(await rig.stream_url(CallSid="CA7"))
        phone, leg = await rig.call()
        await rig.stop()
        assert await opening.closed() == WSCloseCode.GOING_AWAY
        await phone.closed()
        assert isinstance(await leg.receive(), LegEnded)
        assert rig.control.hung_up == [CALL_SID]
        async with rig.client.get(rig.root + "/twilio/stream/x") as response:
            assert response.status == 403
