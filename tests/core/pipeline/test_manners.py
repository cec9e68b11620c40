"""Turns and interruptions are right whether a recogniser streams stable words, guesses, or nothing before its final."""

import asyncio
from collections.abc import Awaitable, Callable

from core.dialogue.settings import DialogueSettings
from core.pipeline.settings import AudioSettings
from core.providers.llm.scripted import ScriptedGenerator
from tests.core.pipeline.conftest import KNOWLEDGE, Place, Setup, Talk
from tests.core.pipeline.recognisers import MANNERS, Manner, MannerRecognizer

HOURS, CARDS = (entry.answer for entry in KNOWLEDGE.entries)
PER_S = 16000  # bytes a second of the caller's audio
AUDIO = AudioSettings()
ENDPOINT_MS, LONG_MS = AUDIO.endpoint_ms, AUDIO.silence_timeout_ms
Scenario = Callable[[Manner, Talk], Awaitable[None]]


async def for_every_manner(place: Place, lines: list[str], scenario: Scenario) -> None:
    """The same conversation with each, all at the same time."""

    async def run(manner: Manner) -> None:
        setup = Setup(
            recognizer=MannerRecognizer(manner, lines),
            generator=ScriptedGenerator("Blue.", 0.005),
            dialogue=DialogueSettings(idle_timeout_s=0),
        )
        try:
            talk = await place(setup)
            await talk.heard_out(0)
            await scenario(manner, talk)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"with a recogniser of the manner {manner!r}")
            raise

    async with asyncio.TaskGroup() as group:
        for manner in MANNERS:
            group.create_task(run(manner))


def pause(talk: Talk, seconds: float) -> None:
    talk.caller.speak(bytes(2 * int(seconds * PER_S / 2)))


async def test_a_question_is_answered_after_the_pause_that_its_words_allow(place: Place) -> None:
    endpoints_ms: dict[str, float] = {}

    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("When are you open?")
        turn = await talk.turn(1)
        assert (turn.heard, turn.said, turn.source) == ("When are you open?", HOURS, "knowledge")
        endpoints_ms[manner] = turn.stages_ms()["endpoint"]

    await for_every_manner(place, ["When are you open?"], scenario)
    for manner in ("stable", "current"):
        assert ENDPOINT_MS - 50 < endpoints_ms[manner] < LONG_MS - 50, manner
    for manner in ("partial", "buffered"):
        assert endpoints_ms[manner] > LONG_MS - 50, manner


async def test_an_interruption_keeps_only_the_words_that_were_heard(place: Place) -> None:
    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("When are you open?")
        await talk.turn(1)
        await asyncio.sleep(1.5)
        talk.say("Can I pay by card?")
        await talk.until(lambda: not talk.caller.leg.queued_ms)
        # Silenced by the voice, long before there are words.
        assert len(talk.record.turns) == 2
        interrupted = await talk.heard_out(1)
        answer = await talk.heard_out(2)
        assert interrupted.interrupted
        assert HOURS.startswith(interrupted.spoken)
        assert 2 < len(interrupted.spoken.split()) < len(HOURS.split()) - 3
        assert talk.dialogue.conversation.exchanges[1].spoken == interrupted.spoken
        assert (answer.heard, answer.said) == ("Can I pay by card?", CARDS)

    await for_every_manner(place, ["When are you open?", "Can I pay by card?"], scenario)


async def test_after_a_cough_the_agent_goes_on_where_it_was(place: Place) -> None:
    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("When are you open?")
        await talk.turn(1)
        await asyncio.sleep(1.5)
        talk.say("Hm, hm.")
        await talk.heard_out(2)
        [_, first, second] = talk.record.turns
        assert first.interrupted
        assert f"{first.spoken} {second.spoken}" == HOURS
        assert talk.dialogue.conversation.exchanges[1].spoken == HOURS

    await for_every_manner(place, ["When are you open?", ""], scenario)


async def test_a_long_turn_with_pauses_for_thought_is_one_turn(place: Place) -> None:
    lines = ["I would like to know whether the", "sky is red or", "blue in the summer"]

    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("I would like to know whether the")
        pause(talk, 0.6)
        talk.say("sky is red or")
        pause(talk, 0.6)
        talk.say("blue in the summer")
        turn = await talk.heard_out(1)
        assert turn.heard == " ".join(lines)
        assert len(talk.record.turns) == 2

    await for_every_manner(place, lines, scenario)


async def test_two_quick_utterances_are_answered_together(place: Place) -> None:
    lines = ["What colour is the sky?", "And what colour is the sea?"]

    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("What colour is the sky?")
        pause(talk, 0.1)
        talk.say("And what colour is the sea?")
        await talk.heard_out(1)
        assert [turn.heard for turn in talk.record.turns] == ["", " ".join(lines)]

    await for_every_manner(place, lines, scenario)


async def test_words_said_while_the_final_is_awaited_belong_to_the_turn(place: Place) -> None:
    lines = ["What colour is the sky and", "the sea?"]

    async def scenario(manner: Manner, talk: Talk) -> None:
        talk.say("What colour is the sky and")
        pause(talk, LONG_MS / 1000 - 0.05)
        talk.say("the sea?")
        await talk.until(lambda: talk.record.turns[-1].heard.endswith("sea?") and talk.record.turns[-1].spoken)
        assert talk.record.turns[-1].heard == " ".join(lines)
        assert [each.heard for each in talk.dialogue.conversation.exchanges] == ["", " ".join(lines)]

    await for_every_manner(place, lines, scenario)
