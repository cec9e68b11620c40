"""What the caller hears while they wait, and which words count as heard where they had to."""

import asyncio
from array import array
from collections.abc import AsyncGenerator

import pytest

from core.dialogue.settings import DialogueSettings, SessionSettings
from core.pipeline import speaking
from core.providers.asr.scripted import ScriptedRecognizer
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.tts.scripted import LEVEL, ScriptedSynthesizer
from tests.core.pipeline.conftest import Place, Setup, Talk

QUESTION = "What colour is it?"
ANSWER = "It is as blue as the sea on a summer day and now and then as grey as a mouse."
PACKET = 160


def sounds(talk: Talk, from_byte: int = 0) -> int:
    """How many stretches of sound the caller heard."""
    samples = array("h", talk.caller.heard[from_byte:])
    loud = [max(map(abs, samples[at : at + PACKET])) > LEVEL / 4 for at in range(0, len(samples), PACKET)]
    return sum(1 for before, now in zip([False, *loud], loud, strict=False) if now and not before)


class _HangingGenerator(ScriptedGenerator):
    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""


async def test_who_waits_long_is_told_so_again_until_the_apology(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "FILLER_EVERY_S", 1.5)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION]),
        generator=_HangingGenerator(),
        dialogue=DialogueSettings(
            idle_timeout_s=0,
            filler_after_ms=300,
            answer_timeout_s=3.0,
            filler_message="Wait.",
            apology_message="Sorry.",
        ),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    before = len(talk.caller.heard)
    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == "Sorry."
    assert sounds(talk, before) == 3, "two fillers and the apology"


class _StallingSynthesizer(ScriptedSynthesizer):
    """Stops for a while in the middle of a long text."""

    stalls = False
    resumed = False

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        pieces = 0
        async for pcm in super().synthesize(text, sample_rate_hz):
            if self.stalls and pieces == 6:
                await asyncio.sleep(2.5)
                self.resumed = True
            pieces += 1
            yield pcm


async def test_a_filler_within_a_clause_does_not_count_as_words_of_it(place: Place) -> None:
    synthesizer = _StallingSynthesizer(0.01)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION, ""], repeat=False),
        generator=ScriptedGenerator(ANSWER, 0.005),
        synthesizer=synthesizer,
        dialogue=DialogueSettings(
            idle_timeout_s=0,
            grounded=False,
            filler_after_ms=300,
            filler_message="Wait.",
        ),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    synthesizer.stalls = True
    talk.say()
    turn = await talk.turn(1)
    await talk.until(lambda: synthesizer.resumed)
    await asyncio.sleep(0.5)

    talk.say("Hm, hm.")
    await talk.until(lambda: turn.interrupted and turn.spoken)

    # 1.2 s before the stall and about one after it, at 60 ms a character.
    assert ANSWER.startswith(turn.spoken)
    assert 20 < len(turn.spoken) < 60


async def test_of_a_clause_whose_audio_is_not_all_there_only_a_share_was_heard(place: Place) -> None:
    synthesizer = _StallingSynthesizer(0.01)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION, ""], repeat=False),
        generator=ScriptedGenerator(ANSWER, 0.005),
        synthesizer=synthesizer,
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False, filler_message=""),
    )
    talk = await place(setup)
    synthesizer.stalls = True
    talk.say()
    turn = await talk.turn(0)
    await asyncio.sleep(1.4)
    assert not synthesizer.resumed

    talk.say("Hm, hm.")
    await talk.until(lambda: turn.interrupted and turn.spoken)

    # 1.2 s, at 60 ms a character.
    assert ANSWER.startswith(turn.spoken)
    assert 10 < len(turn.spoken) < 30


async def test_a_greeting_that_is_slow_to_begin_is_not_announced(place: Place) -> None:
    setup = Setup(
        session=SessionSettings(welcome_message="Hello to you."),
        synthesizer=ScriptedSynthesizer(1.0),
        dialogue=DialogueSettings(idle_timeout_s=0, filler_after_ms=300),
        rendered=False,
    )
    talk = await place(setup)
    await talk.heard_out(0)

    assert sounds(talk) == 1


async def test_clauses_behind_the_one_that_a_noise_interrupted_are_said_after_it(place: Place) -> None:
    clauses = ["It is blue as the sea.", "In winter it is grey.", "At night it is as black as coal."]
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION, ""], repeat=False),
        generator=ScriptedGenerator(" ".join(clauses), 0.005),
        synthesizer=ScriptedSynthesizer(0.01),
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False, max_sentences=3),
    )
    talk = await place(setup)
    talk.say()
    turn = await talk.turn(0)
    await talk.until(lambda: turn.said == " ".join(clauses))

    talk.say("Hm.")
    rest = await talk.heard_out(1)

    assert turn.interrupted
    assert clauses[0].startswith(turn.spoken)
    assert f"{turn.spoken} {rest.spoken}" == " ".join(clauses)
    assert talk.dialogue.conversation.exchanges[0].spoken == " ".join(clauses)


class _StuckSynthesizer(ScriptedSynthesizer):
    """Says one clause, and begins no other while `stuck`."""

    stuck = True

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        if self.stuck and len(self.said) == 1:
            self.said.append(text)
            await asyncio.Event().wait()
        async for pcm in super().synthesize(text, sample_rate_hz):
            yield pcm


async def test_a_clause_that_had_no_audio_yet_is_said_after_a_noise(place: Place) -> None:
    clauses = ["It is blue as the sea.", "In winter it is grey."]
    synthesizer = _StuckSynthesizer(0.01)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION, ""], repeat=False),
        generator=ScriptedGenerator(" ".join(clauses), 0.005),
        synthesizer=synthesizer,
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False, filler_message=""),
        rendered=False,
    )
    talk = await place(setup)
    talk.say()
    turn = await talk.turn(0)
    await talk.until(lambda: len(synthesizer.said) == 2)

    talk.say("Hm.")
    await talk.until(lambda: turn.interrupted)
    synthesizer.stuck = False
    rest = await talk.heard_out(1)

    assert f"{turn.spoken} {rest.spoken}" == " ".join(clauses)
