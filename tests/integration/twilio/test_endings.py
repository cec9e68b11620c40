"""The caller hangs up at whatever stage, and core with or without Twilio's REST API: nothing is left of the call."""

import asyncio

import aiohttp
import pytest

from tests.integration.conversation import until
from tests.integration.twilio.conftest import Surroundings
from tests.integration.twilio.raw_stream import SILENCE, RawCall
from tools.caller.stream_messages import CONNECTED
from tools.caller.twilio_rest import INTERNAL_ERROR

pytestmark = [pytest.mark.asyncio(loop_scope="package")]


async def test_stream_may_end_at_any_stage_before_the_agent_is_heard(around: Surroundings) -> None:
    async with aiohttp.ClientSession() as session:
        for stage in range(6):
            for politely in (True, False):
                call = RawCall(around.exchange, session)
                url = await call.stream_url()
                if stage == 0:
                    continue
                await call.open(url)
                if stage >= 2:
                    await call.socket.send_str(CONNECTED)
                if stage >= 3:
                    await call.socket.send_str(call.messages.start())
                if stage >= 4:
                    await call.socket.send_str(call.messages.media(SILENCE, 0))
                if stage >= 5:
                    await call.socket.receive_str(timeout=5)
                if politely:
                    await call.socket.send_str(call.messages.stop())
                    await call.socket.close()
                else:
                    call.cut()
    await around.nothing_left()


async def test_caller_may_hang_up_at_any_stage_of_the_conversation(around: Surroundings) -> None:
    async def in_the_greeting() -> None:
        async with around.exchange.call(called="talkative") as call:
            await call.hears()

    async def while_asking() -> None:
        async with around.exchange.call() as call:
            await call.hears_something()
            asking = asyncio.ensure_future(call.say())
            await until(lambda: call.carried.busy, 5, "the caller speaks")
            await asyncio.sleep(0.3)
            await call.hang_up()
            asking.cancel()

    async def before_the_answer() -> None:
        async with around.exchange.call() as call:
            await call.hears_something()
            await call.say()

    async def in_the_answer() -> None:
        async with around.exchange.call() as call:
            await call.hears_something()
            await call.hears(await call.say())

    async def after_a_key() -> None:
        async with around.exchange.call() as call:
            await call.hears_something()
            await call.carried.press("1", "rfc4733")

    async def while_being_transferred() -> None:
        async with around.exchange.call() as call:
            await call.hears_something()
            await call.carried.press("0#", "rfc4733")
            await call.hears(call.trace.sent[-1].at_ns)

    stages = (in_the_greeting, while_asking, before_the_answer, in_the_answer, after_a_key, while_being_transferred)
    await asyncio.gather(*(stage() for stage in stages))
    await around.nothing_left()


@pytest.mark.parametrize("away", ["refuses", "hangs", "gone"])
async def test_agent_hangs_up_though_the_rest_api_is_away(around: Surroundings, away: str) -> None:
    rest = around.exchange.twilio.rest
    async with around.exchange.call() as call, aiohttp.ClientSession() as session:
        await call.hears_something()
        rest.failure = INTERNAL_ERROR if away == "refuses" else None
        rest.hang = away == "hangs"
        if away == "gone":
            await rest.stop()
        try:
            async with session.delete(f"{around.line.core.url}/api/v1/calls/{call.carried.sid}") as response:
                assert response.status == 200
            await until(lambda: not call.up, 5, "the stream is closed")
        finally:
            rest.failure, rest.hang = None, False
            if away == "gone":
                await rest.start()
        assert (await call.account()).end_reason in ("operator", None)
    await around.nothing_left()
