"""Core is killed, and core ends in order, with calls over Twilio up."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.conversation import until
from tests.integration.line import settled_down
from tests.integration.twilio.raw_stream import RawCall
from tests.integration.twilio_exchange import Exchange, open_exchange
from tools.caller.twiml import Reject

DRAINED_S = 2.0


async def test_calls_end_with_a_core_that_is_killed_and_the_next_one_takes_up_where_it_can(tmp_path: Path) -> None:
    async with open_exchange(tmp_path) as exchange, aiohttp.ClientSession() as session:
        announced = RawCall(exchange, session)
        async with exchange.call() as call:
            await call.hears_something()
            url = await announced.stream_url()
            await exchange.core.kill()
            # Nothing follows <Connect>: Twilio ends the call.
            await until(lambda: not call.up, 5, "the call ends")
            await exchange.core.start()
            # The webhook was answered by a process that is no more; the stream is another's.
            await announced.open(url)
            await announced.start()
            assert "media" in await announced.socket.receive_str(timeout=5)
            announced.cut()
        before = await settled_down(exchange.core)
        assert (await exchange.ordinary_call()).spoken
        await exchange.nothing_left(before)
        assert exchange.core.errors() == []


async def test_core_that_is_to_end_refuses_callers_and_ends_the_call_by_its_deadline(tmp_path: Path) -> None:
    settings = {"performance": {"drain_timeout_s": DRAINED_S}}
    async with open_exchange(tmp_path, settings) as exchange, aiohttp.ClientSession() as session:
        announced = RawCall(exchange, session)
        async with exchange.call() as call:
            await call.hears_something()
            url = await announced.stream_url()
            exchange.core.signal(signal.SIGTERM)
            await draining(exchange)
            assert await RawCall(exchange, session).instructions() == Reject("busy")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await announced.open(url)
            assert refused.value.status == 503
            # The call that is up goes on meanwhile.
            assert call.up
            await until(lambda: not call.up, DRAINED_S + 3, "the call ends")
            assert await exchange.core.exit_code(5.0) == 0
        asked = [each.params.get("Status") for each in exchange.twilio.rest.requests if call.carried.sid in each.path]
        assert asked == ["completed"]
        assert exchange.core.errors() == []


async def draining(exchange: Exchange) -> None:
    async with asyncio.timeout(5):
        while "shutting down" not in (await exchange.core.get("/health/ready"))["reasons"]:
            await asyncio.sleep(0.02)
