"""What one stream does wrong ends at most its own call: those beside it go on, and nothing stays behind."""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from tests.integration.conversation import Conversation
from tests.integration.twilio.conftest import Surroundings
from tests.integration.twilio.raw_stream import SILENCE, RawCall

pytestmark = [pytest.mark.asyncio(loop_scope="package")]

SEED = 20
# Twice what [twilio] max_malformed lets pass.
NONSENSE = 40
FLOOD_S = 2
PTIME_MS = 20
TIMES_TOO_MUCH = 100
HUGE = 70_000
ENDED_S = 15.0

Abuse = Callable[[Surroundings, aiohttp.ClientSession], Coroutine[Any, Any, tuple[str, str]]]


async def nonsense(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = await RawCall(around.exchange, session).up()
    source = random.Random(SEED)
    stream_sid = json.loads(call.messages.stop())["streamSid"]
    for number in range(NONSENSE):
        kind = number % 6
        if kind == 0:
            await call.socket.send_str(source.randbytes(200).decode("latin-1"))
        elif kind == 1:
            await call.socket.send_str("[" * 20_000)
        elif kind == 2:
            await call.socket.send_str(json.dumps({"event": "media", "streamSid": stream_sid, "media": {}}))
        elif kind == 3:
            body = {"payload": base64.b64encode(SILENCE).decode(), "timestamp": "9" * 400, "chunk": "-1"}
            await call.socket.send_str(json.dumps({"event": "media", "streamSid": stream_sid, "media": body}))
        elif kind == 4:
            await call.socket.send_str(json.dumps({"event": "dtmf", "streamSid": "MZ0", "dtmf": {"digit": "1"}}))
        else:
            await call.socket.send_str(call.messages.start())
    assert await call.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    return call.sid, "signalling_lost"


async def some_nonsense(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = await RawCall(around.exchange, session).up()
    for _ in range(5):
        await call.socket.send_str("{}")
        await call.socket.send_bytes(b"\x00" * 100)
        await call.socket.send_str(call.messages.media(SILENCE, 0))
    # It goes on: keys of it are still taken.
    assert call.sid in {each["call_id"] for each in await around.line.core.calls()}
    await call.socket.send_str(call.messages.stop())
    await call.closed()
    return call.sid, "caller_hung_up"


async def binary(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = await RawCall(around.exchange, session).up()
    for _ in range(NONSENSE):
        await call.socket.send_bytes(random.Random(SEED).randbytes(1000))
    assert await call.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    return call.sid, "signalling_lost"


async def huge(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = await RawCall(around.exchange, session).up()
    await call.socket.send_str("x" * HUGE)
    assert await call.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    return call.sid, "signalling_lost"


async def second_socket(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = RawCall(around.exchange, session)
    url = await call.stream_url()
    await call.open(url)
    await call.start()
    await call.socket.receive_str(timeout=5)
    first = call.socket
    for again, status in ((url, 403), (await call.stream_url(), 409)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await call.open(again)
        assert refused.value.status == status
    await first.send_str(call.messages.stop())
    await call.closed()
    return call.sid, "caller_hung_up"


async def never_starts(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = RawCall(around.exchange, session)
    await call.open()
    assert await call.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    return call.sid, ""


async def names_another_call(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call, other = RawCall(around.exchange, session), RawCall(around.exchange, session)
    await call.open()
    await call.socket.send_str(other.messages.start())
    assert await call.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    return call.sid, ""


async def stops_reading(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    call = RawCall(around.exchange, session, called="talkative")
    with await call.open_deaf():
        await over(around, call.sid)
    return call.sid, "signalling_lost"


async def flood(around: Surroundings, session: aiohttp.ClientSession) -> tuple[str, str]:
    """A hundred times what a phone sends, for as long as it is taken."""
    call = await RawCall(around.exchange, session).up()
    noise = random.Random(SEED).randbytes(len(SILENCE))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with contextlib.suppress(ConnectionError):
        for number in range(FLOOD_S * 1000 // PTIME_MS * TIMES_TOO_MUCH):
            await call.socket.send_str(call.messages.media(noise, PTIME_MS * number))
            if number % TIMES_TOO_MUCH == 0:
                await asyncio.sleep(began_s + number / TIMES_TOO_MUCH * PTIME_MS / 1000 - loop.time())
    # What was sent meanwhile meets a closed connection: how it was closed is not always heard.
    await call.closed()
    return call.sid, "signalling_lost"


async def over(around: Surroundings, call_sid: str) -> None:
    """Returns once that call has begun and ended."""
    async with asyncio.timeout(ENDED_S):
        while await end_reason(around, call_sid) == "":
            await asyncio.sleep(0.1)


async def end_reason(around: Surroundings, call_sid: str) -> str:
    """As core tells it, "" where it knows of no such call that has ended."""
    recent = (await around.line.core.get("/api/v1/calls/recent?limit=1000"))["calls"]
    return next((str(each["end_reason"]) for each in recent if each["call_id"] == call_sid), "")


ABUSES: tuple[Abuse, ...] = (
    nonsense,
    some_nonsense,
    binary,
    huge,
    second_socket,
    never_starts,
    names_another_call,
    stops_reading,
    flood,
)


async def test_calls_beside_those_that_misbehave_are_answered(around: Surroundings) -> None:
    done = asyncio.Event()

    async def talks(call: Conversation) -> None:
        async with call:
            await call.hears_something()
            while not done.is_set():
                assert (await call.ask()).spoken

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(talks(around.exchange.call()))
        group.create_task(talks(around.line.call()))
        abused = await asyncio.gather(*(abuse(around, session) for abuse in ABUSES))
        done.set()
    for call_sid, reason in abused:
        if reason:
            await over(around, call_sid)
        assert await end_reason(around, call_sid) == reason
    assert (await around.exchange.ordinary_call()).spoken
    await around.nothing_left()
