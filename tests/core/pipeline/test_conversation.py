"""A whole conversation on one leg: turns, interruption, silence, keys, hold, and providers that fail."""

import asyncio
from collections.abc import Sequence

import pytest

from core.dialogue.settings import DialogueSettings, SessionSettings
from core.errors import ProviderUnavailable
from core.leg import EndReason
from core.pipeline import outage
from core.pipeline.settings import AudioSettings
from core.providers.asr.scripted import ScriptedRecognizer, ScriptedStream
from core.providers.base import RecognitionStream
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.tts.scripted import ScriptedSynthesizer
from tests.core.pipeline.conftest import KNOWLEDGE, BrokenGenerator, BrokenSynthesizer, Place, Setup
from tests.support.voices import speech

HOURS = KNOWLEDGE.entries[0].answer


async def test_the_greeting_comes_at_once(place: Place) -> None:
    talk = await place(Setup())

    greeting = await talk.heard_out(0)

    assert (greeting.said, greeting.spoken, greeting.source) == ("Hello.", "Hello.", "dialogue")
    assert greeting.stages_ms() == {}


async def test_a_known_question_is_answered_from_knowledge_and_timed(place: Place) -> None:
    talk = await place(Setup())
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert (turn.heard, turn.said, turn.source) == ("When are you open?", HOURS, "knowledge")
    assert turn.spoken == HOURS
    stages = turn.stages_ms()
    assert 350 < stages["endpoint"] < 900
    assert stages["total"] == pytest.approx(sum(stages.values()) - stages["total"], abs=0.5)


async def test_an_unknown_question_goes_to_the_model(place: Place) -> None:
    generator = ScriptedGenerator("It is blue. It is not red. It is green.", 0.005)
    talk = await place(Setup(recognizer=ScriptedRecognizer(["What colour is the sky?"]), generator=generator))
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.source == "model"
    assert turn.said == "It is blue. It is not red."
    assert generator.asked[-1][-1].content == "What colour is the sky?"


async def test_an_invented_fact_is_not_spoken(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["How old is the sky?"]),
        generator=ScriptedGenerator("It is 4000 years old.", 0.005),
    )
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.said == setup.dialogue.way_out_message


async def test_an_interruption_silences_the_agent_and_keeps_only_what_was_heard(place: Place) -> None:
    talk = await place(Setup(recognizer=ScriptedRecognizer(["When are you open?", "Can I pay by card?"])))
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(1.0)

    talk.say("Can I pay by card?")
    interrupted = await talk.heard_out(1)
    answer = await talk.heard_out(2)

    assert interrupted.interrupted
    assert interrupted.interrupted_at
    assert HOURS.startswith(interrupted.spoken)
    assert 2 < len(interrupted.spoken.split()) < len(HOURS.split()) - 3
    assert talk.dialogue.conversation.exchanges[1].spoken == interrupted.spoken
    assert answer.said == "Yes, by card."


async def test_a_noise_interrupts_but_the_agent_goes_on_where_it_was(place: Place) -> None:
    talk = await place(Setup(recognizer=ScriptedRecognizer(["When are you open?", ""], repeat=False)))
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(1.0)

    talk.say("Hm, hm.")
    await talk.heard_out(2)

    [_, first, second] = talk.record.turns
    assert f"{first.spoken} {second.spoken}" == HOURS
    assert talk.dialogue.conversation.exchanges[1].spoken == HOURS


async def test_what_is_said_before_the_answer_begins_belongs_to_the_question(place: Place) -> None:
    slow = ScriptedSynthesizer(2.5)
    setup = Setup(
        recognizer=ScriptedRecognizer(["What is the", "colour of the sky?"], repeat=False),
        synthesizer=slow,
        rendered=False,
    )
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.until(lambda: len(talk.record.turns) == 2)

    talk.say("And another thing.")
    await talk.until(lambda: len(talk.record.turns) == 3 and talk.record.turns[2].spoken)

    assert talk.record.turns[2].heard == "What is the colour of the sky?"
    assert [exchange.heard for exchange in talk.dialogue.conversation.exchanges] == [
        "",
        "What is the colour of the sky?",
    ]


async def test_a_goodbye_ends_the_call_after_the_agent_has_said_it_too(place: Place) -> None:
    setup = Setup(recognizer=ScriptedRecognizer(["Goodbye."]))
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    ended = await talk.end()

    assert ended.reason is EndReason.AGENT_HUNG_UP
    assert talk.record.turns[-1].spoken == setup.dialogue.goodbye_message


async def test_a_silent_caller_is_asked_then_hung_up_on(place: Place) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0.2, idle_prompts=1, goodbye_message="Bye."))
    talk = await place(setup)

    ended = await talk.end()

    assert ended.reason is EndReason.IDLE
    assert [turn.spoken for turn in talk.record.turns] == ["Hello.", setup.dialogue.idle_prompt, "Bye."]


async def test_keys_are_taken_together(place: Place) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0, digits_timeout_s=0.2))
    talk = await place(setup)
    await talk.heard_out(0)

    talk.caller.press("12")
    turn = await talk.heard_out(1)

    assert turn.heard == "[12]"
    assert turn.source == "model"


async def test_the_key_for_a_person_transfers_once_that_was_said(place: Place) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0, transfer_target="sip:desk@example.com"))
    talk = await place(setup)
    await talk.heard_out(0)

    talk.caller.press("0#")
    ended = await talk.end()

    assert ended.reason is EndReason.TRANSFERRED
    assert talk.caller.leg.transfer_target == "sip:desk@example.com"
    assert talk.record.turns[1].spoken == setup.dialogue.transfer_message


async def test_a_failed_transfer_is_said_and_the_call_goes_on(place: Place) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0, transfer_target="sip:desk@example.com"))
    talk = await place(setup)
    talk.caller.leg.accepts_transfer = False
    await talk.heard_out(0)

    talk.caller.press("0#")
    turn = await talk.heard_out(2)

    assert turn.spoken == setup.dialogue.no_transfer_message
    assert talk.ended is None


async def test_a_key_silences_the_agent(place: Place) -> None:
    talk = await place(Setup())
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(0.8)

    talk.caller.press("5")
    turn = await talk.heard_out(1)

    assert turn.interrupted


async def test_the_agent_is_silent_while_held_and_goes_on_afterwards(place: Place) -> None:
    talk = await place(Setup())
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(0.8)

    talk.caller.hold()
    held = await talk.heard_out(1)
    talk.caller.resume()
    resumed = await talk.heard_out(2)

    assert f"{held.spoken} {resumed.spoken}" == HOURS


async def test_a_voice_that_fails_is_apologised_for_with_a_phrase_kept(place: Place) -> None:
    synthesizer = BrokenSynthesizer(0.01)
    setup = Setup(recognizer=ScriptedRecognizer(["What colour is it?"]), synthesizer=synthesizer)
    talk = await place(setup)
    await talk.heard_out(0)
    synthesizer.broken = ProviderUnavailable("test", "gone")

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == setup.dialogue.apology_message


@pytest.mark.parametrize("words", [[], ["Well, ", "that is what I think, "]])
async def test_a_model_that_fails_is_apologised_for(place: Place, words: list[str]) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]),
        generator=BrokenGenerator(words, ProviderUnavailable("test", "gone")),
    )
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken.endswith(setup.dialogue.apology_message)


async def test_a_slow_answer_is_bridged_by_a_filler(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]),
        generator=ScriptedGenerator("Blue.", 1.5),
        dialogue=DialogueSettings(idle_timeout_s=0, filler_after_ms=200, filler_message="Hm."),
    )
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.said == "Blue."
    assert turn.started_s < turn.answered_s


class _DeafRecognizer(ScriptedRecognizer):
    deaf = True

    async def open(self, *_: object) -> RecognitionStream:
        if self.deaf:
            raise ProviderUnavailable("test", "gone")
        return await super().open(8000)


async def test_a_recogniser_that_is_away_is_apologised_for_and_used_when_it_returns(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "BEFORE_APOLOGY_S", 0.3)
    recognizer = _DeafRecognizer(["When are you open?"])
    setup = Setup(recognizer=recognizer)
    talk = await place(setup)
    apology = await talk.heard_out(1)
    recognizer.deaf = False
    await asyncio.sleep(0.5)

    talk.say()
    await talk.until(lambda: talk.record.turns[-1].heard)

    assert apology.spoken == setup.dialogue.apology_message
    assert talk.record.turns[-1].said == HOURS


async def test_a_recogniser_that_stays_away_ends_the_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "BEFORE_APOLOGY_S", 0.1)
    monkeypatch.setattr(outage, "BEFORE_HANG_UP_S", 0.5)

    talk = await place(Setup(recognizer=_DeafRecognizer()))

    assert (await talk.end()).reason is EndReason.ERROR


async def test_without_a_greeting_the_caller_speaks_first(place: Place) -> None:
    talk = await place(Setup(session=SessionSettings(welcome_message="")))

    talk.say()
    turn = await talk.heard_out(0)

    assert turn.said == HOURS


async def test_calls_at_the_same_time_do_not_disturb_each_other(place: Place) -> None:
    talks = [await place(Setup()) for _ in range(3)]
    for talk in talks:
        await talk.heard_out(0)
        talk.say()

    talks[0].caller.hang_up()
    turns = [await talk.heard_out(1) for talk in talks[1:]]

    assert all(turn.said == HOURS for turn in turns)
    assert (await talks[0].end()).reason is EndReason.CALLER_HUNG_UP


async def test_the_caller_hears_the_answer_as_audio(place: Place) -> None:
    talk = await place(Setup())
    await talk.heard_out(0)
    before = len(talk.caller.heard)

    talk.say()
    await talk.heard_out(1)

    loud = sum(abs(byte) > 0 for byte in talk.caller.heard[before:])
    assert loud > len(speech("When are you open?"))


class _SlowFinalStream(ScriptedStream):
    """Takes its time for the final, as a recogniser does that must decode again."""

    async def finalize(self, utterance_id: int) -> None:
        await asyncio.sleep(0.7)
        await super().finalize(utterance_id)


class _SlowFinalRecognizer(ScriptedRecognizer):
    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        return _SlowFinalStream(["Do you", "take credit cards?"], sample_rate_hz)


async def test_a_caller_who_goes_on_while_the_transcript_is_made_is_answered_once(place: Place) -> None:
    talk = await place(Setup(recognizer=_SlowFinalRecognizer(), audio=AudioSettings(silence_timeout_ms=400)))
    await talk.heard_out(0)

    talk.say("Do you")
    talk.caller.speak(bytes(16 * 750))
    talk.say("take cards")
    turn = await talk.heard_out(1)

    assert turn.heard == "Do you take credit cards?"
    assert len(talk.record.turns) == 2


async def test_a_voice_that_never_pauses_is_answered_all_the_same(place: Place) -> None:
    talk = await place(Setup(audio=AudioSettings(max_turn_s=2.0)))
    await talk.heard_out(0)

    talk.say("When are you open?")
    talk.say("And so on and on and on, as the television goes on and on and on, all day long and all night long.")
    turn = await talk.turn(1)

    assert turn.heard.startswith("When are you open?")
