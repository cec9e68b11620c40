"""What happens on calls over Twilio: greetings, interruptions, keys, transfers."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from core.providers.base import ToolCall
from tests.integration.conversation import until
from tests.integration.twilio.conftest import TALE, TRANSFER_TARGET, Surroundings
from tests.support.standins.script import WireMessages
from tools.caller.trace import PTIME_MS

pytestmark = [pytest.mark.asyncio(loop_scope="package")]

# The scripted voice's.
CHARACTER_MS = 60.0
# At least so often is Twilio asked what it has played.
MARK_INTERVAL_MS = 100.0


async def test_calls_of_both_transports_at_once_are_greeted_by_their_own_agents(around: Surroundings) -> None:
    async with around.line.call(called="garage") as sip, around.exchange.call(called="bakery") as twilio:
        await asyncio.gather(sip.hears_something(), twilio.hears_something())
        said = {(await call.account()).transport: (await call.account()).turns[0].said for call in (sip, twilio)}
        assert said == {"opensips": "Garage.", "twilio": "Bakery."}
        both = await asyncio.gather(sip.ask(), twilio.ask())
        assert [turn.said for turn in both] == ["Nine to six."] * 2
    await around.nothing_left()


async def test_all_that_was_said_was_heard_and_counts_as_spoken_by_its_marks(around: Surroundings) -> None:
    async with around.exchange.call() as call:
        await call.hears_something()
        turn = await call.ask()
        assert (turn.said, turn.spoken) == ("Nine to six.", "Nine to six.")
        heard_ms = sum(packet.audible for packet in call.trace.received_audio) * PTIME_MS
        assert call.events["mark"] >= heard_ms / MARK_INTERVAL_MS
        assert call.events["clear"] == 0
        assert heard_ms == pytest.approx(len("Hello." + turn.said) * CHARACTER_MS, abs=2 * PTIME_MS)
    await around.nothing_left()


async def test_agent_that_is_interrupted_falls_silent_and_only_what_was_heard_was_said(around: Surroundings) -> None:
    async with around.exchange.call(called="talkative") as call:
        await call.hears()
        spoken_ns = await call.say()
        await call.hears_something(since_ns=spoken_ns)
        tale, answer = (await call.account()).turns[:2]
        assert tale.interrupted
        assert TALE.startswith(tale.spoken)
        assert answer.said == "Nine to six."
        heard_ms = sum(packet.audible and packet.at_ns < spoken_ns for packet in call.trace.received_audio) * PTIME_MS
        # What had been sent ahead was dropped, and is not counted: but for a word begun and a mark, what was played is.
        assert call.events["clear"] == 1
        assert len(tale.spoken) * CHARACTER_MS == pytest.approx(heard_ms, abs=600)
        assert heard_ms < len(TALE) * CHARACTER_MS / 2
    await around.nothing_left()


async def test_keys_are_pressed_and_the_call_goes_on_over_another_stream(around: Surroundings) -> None:
    async def presses(messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        if [each["role"] for each in messages].count("user") == 1 and messages[-1]["role"] == "user":
            yield ToolCall("call_1", "send_digits", {"digits": "12#"})
        else:
            yield "That is done."

    around.model.script.answer = presses
    async with around.exchange.call(called="keypad") as call:
        await call.hears_something()
        for _ in range(2):
            turn = await call.ask()
            assert turn.spoken == "That is done."
            assert call.carried.digits == "12#"
        assert (await call.account()).call_id == call.carried.sid
    await around.nothing_left()


async def test_caller_who_wants_a_person_is_put_through(around: Surroundings) -> None:
    async with around.exchange.call() as call:
        await call.hears_something()
        await call.carried.press("0#", "rfc4733")
        await until(lambda: bool(call.carried.transferred_to), 8, "the call is transferred")
        assert call.carried.transferred_to == TRANSFER_TARGET
        await until(lambda: not call.up, 5, "the transferred call ends")
        assert (await call.account()).end_reason == "transferred"
    await around.nothing_left()


async def test_caller_whose_target_does_not_answer_comes_back_as_a_new_call(around: Surroundings) -> None:
    around.exchange.twilio.dial_status = "no-answer"
    try:
        async with around.exchange.call() as call:
            await call.hears_something()
            await call.carried.press("0#", "rfc4733")
            await until(lambda: bool(call.carried.transferred_to), 8, "the call is transferred")
            await call.falls_quiet()
            assert (await call.ask()).heard
            recent = (await around.line.core.get("/api/v1/calls/recent"))["calls"]
            assert (recent[0]["call_id"], recent[0]["end_reason"]) == (call.carried.sid, "transferred")
    finally:
        around.exchange.twilio.dial_status = "completed"
    await around.nothing_left()
