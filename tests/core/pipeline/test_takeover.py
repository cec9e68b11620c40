"""A conversation in which a provider dies in the middle of an answer or a turn, and the next one goes on.

With `--log-cli-level=INFO` the tests tell how long it took, but for the work of our own, which takes no virtual time.
"""

import asyncio
import logging
import time
from array import array
from collections.abc import AsyncGenerator, Sequence

import pytest

from core.dialogue.settings import DialogueSettings
from core.errors import ProviderUnavailable
from core.providers.asr.fallback import FallbackRecognizer
from core.providers.asr.scripted import ScriptedRecognizer, ScriptedStream
from core.providers.base import Generator, RecognitionStream, Recognizer, Synthesizer
from core.providers.breaker import CircuitBreaker
from core.providers.llm.fallback import FallbackGenerator
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.member import Member
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.providers.tts.fallback import FallbackSynthesizer
from core.providers.tts.scripted import ScriptedSynthesizer
from tests.core.pipeline.conftest import Place, Setup, Talk

log = logging.getLogger(__name__)

RATE_HZ = 8000
# Peaks of the two voices' hum.
LOUD = 8000
FIRST_CLAUSE = "It is blue as the sea."
ANSWER = f"{FIRST_CLAUSE} In winter it is as grey as a mouse."
QUESTION = "What colour is it?"


class DyingGenerator(ScriptedGenerator):
    """Says the first clause and a little more; then it breaks, or says nothing any more."""

    name = "dying"

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.failed_s = 0.0
        self._hangs = hangs

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        yield FIRST_CLAUSE
        yield " In winter it"
        if not self._hangs:
            await asyncio.sleep(0.5)
        self.failed_s = time.monotonic()
        if self._hangs:
            await asyncio.Event().wait()
        raise ProviderUnavailable("dying", "gone")


class DyingSynthesizer(ScriptedSynthesizer):
    """Speaks until `dying`; then it breaks off in the middle of a clause."""

    name = "dying"
    dying = False
    failed_s = 0.0

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        pieces = 0
        async for pcm in super().synthesize(text, sample_rate_hz):
            yield pcm
            pieces += 1
            if self.dying and pieces == 4:
                await asyncio.sleep(1.0)
                self.failed_s = self.failed_s or time.monotonic()
                raise ProviderUnavailable("dying", "gone")


class TimedSynthesizer(ScriptedSynthesizer):
    """Notes when it was first heard."""

    first_audio_made_s = 0.0

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        async for pcm in super().synthesize(text, sample_rate_hz):
            self.first_audio_made_s = self.first_audio_made_s or time.monotonic()
            yield pcm


class SilentStream(ScriptedStream):
    """Hears words, and never says which were the last."""

    finalized_s = 0.0

    async def finalize(self, utterance_id: int) -> None:
        self.finalized_s = time.monotonic()


class SilentRecognizer(ScriptedRecognizer):
    name = "silent"

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[SilentStream] = []

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        self.streams.append(SilentStream([QUESTION], sample_rate_hz))
        return self.streams[-1]


def generators(*members: Generator) -> FallbackGenerator:
    settings = LlmSettings(budget_ms=700)
    return FallbackGenerator([Member(each, CircuitBreaker("llm", each.name, 2, 15.0)) for each in members], settings)


def voices(*members: Synthesizer) -> FallbackSynthesizer:
    settings = TtsSettings(budget_ms=500)
    return FallbackSynthesizer([Member(each, CircuitBreaker("tts", each.name, 2, 15.0)) for each in members], settings)


def recognizers(*members: Recognizer) -> FallbackRecognizer:
    settings = AsrSettings(budget_ms=500)
    return FallbackRecognizer([Member(each, CircuitBreaker("asr", each.name, 2, 15.0)) for each in members], settings)


class Wire:
    """When the caller heard sound: watches what comes from our side."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._already = len(talk.caller.heard)

    def longest_silence_s(self) -> float:
        """Between the first and the last sound since the watch began."""
        sounding = self._sounding()
        longest = run = 0
        for loud in sounding[sounding.index(True) : len(sounding) - sounding[::-1].index(True)]:
            run = 0 if loud else run + 1
            longest = max(longest, run)
        return longest * 0.02

    def _sounding(self) -> list[bool]:
        samples = array("h", self._talk.caller.heard[self._already :])
        packet = RATE_HZ // 50
        return [max(map(abs, samples[at : at + packet])) > LOUD / 4 for at in range(0, len(samples), packet)]


async def ask(talk: Talk) -> Wire:
    await talk.heard_out(0)
    wire = Wire(talk)
    talk.say()
    return wire


@pytest.mark.parametrize("hangs", [False, True], ids=["breaks", "hangs"])
async def test_an_answer_whose_model_dies_is_ended_by_the_next_ones(place: Place, hangs: bool) -> None:
    dying = DyingGenerator(hangs=hangs)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION]),
        generator=generators(dying, ScriptedGenerator(ANSWER, 0.02)),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False),
    )
    talk = await place(setup)
    wire = await ask(talk)
    turn = await talk.turn(1)
    await talk.until(lambda: turn.said == ANSWER)
    rest_made_s = time.monotonic() - dying.failed_s
    turn = await talk.heard_out(1)

    assert turn.spoken == ANSWER, "what the first had said is said once"
    assert rest_made_s < (1.5 if hangs else 0.8)
    assert wire.longest_silence_s() < 0.5
    log.info("%s: audio %.3f s after the failure", "model hung" if hangs else "model broke", rest_made_s)


async def test_a_clause_whose_voice_dies_is_ended_by_the_next_one(place: Place) -> None:
    dying, well = DyingSynthesizer(0.01), TimedSynthesizer(0.05)
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION]),
        generator=ScriptedGenerator(ANSWER, 0.01),
        synthesizer=voices(dying, well),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    dying.dying = True
    wire = await ask(talk)
    turn = await talk.heard_out(1)

    assert turn.spoken == ANSWER
    assert well.said[0] != FIRST_CLAUSE, "what was spoken is not spoken again"
    assert FIRST_CLAUSE.endswith(well.said[0])
    made_s = well.first_audio_made_s - dying.failed_s
    assert 0.04 < made_s < 0.3
    assert wire.longest_silence_s() < 0.6
    log.info("%s: audio %.3f s after the failure", "voice broke in mid-clause", made_s)


async def test_a_turn_whose_recogniser_never_ends_it_is_heard_by_the_next_one(place: Place) -> None:
    silent = SilentRecognizer()
    setup = Setup(
        recognizer=recognizers(silent, ScriptedRecognizer([QUESTION])),
        generator=ScriptedGenerator(FIRST_CLAUSE, 0.01),
    )
    talk = await place(setup)
    await ask(talk)
    turn = await talk.heard_out(1)

    assert (turn.heard, turn.spoken) == (QUESTION, FIRST_CLAUSE)
    waited_s = turn.started_s - silent.streams[0].finalized_s
    assert 0.49 < waited_s < 1.2
    log.info("%s: audio %.3f s after the failure", "final never came, budget 0.5 s", waited_s)


async def test_a_call_goes_on_without_a_recogniser_that_broke(place: Place) -> None:
    first = SilentRecognizer()
    setup = Setup(
        recognizer=recognizers(first, ScriptedRecognizer([QUESTION])),
        generator=ScriptedGenerator(FIRST_CLAUSE, 0.01),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    await first.streams[0].close()

    talk.say()
    turn = await talk.heard_out(1)

    assert (turn.heard, turn.spoken) == (QUESTION, FIRST_CLAUSE)
    assert len(talk.record.turns) == 2, "nobody needed to be apologised to"


class StallingGenerator(ScriptedGenerator):
    """Says a clause, and nothing for a while, and the rest."""

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        yield f"{FIRST_CLAUSE} "
        await asyncio.sleep(3.5)
        yield "In winter it is as grey as a mouse."


async def test_a_caller_who_would_hear_nothing_in_mid_answer_is_told_to_wait(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION]),
        generator=StallingGenerator(),
        dialogue=DialogueSettings(idle_timeout_s=0, grounded=False, filler_after_ms=500),
    )
    talk = await place(setup)
    wire = await ask(talk)
    turn = await talk.turn(1)
    await talk.until(lambda: turn.said == ANSWER)
    turn = await talk.heard_out(1)

    assert turn.spoken == ANSWER, "the filler is no part of the answer"
    assert wire.longest_silence_s() < 1.2


async def test_words_that_were_heard_before_a_filler_are_not_said_again_after_an_interruption(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer([QUESTION, ""], repeat=False),
        generator=StallingGenerator(),
        dialogue=DialogueSettings(
            idle_timeout_s=0, grounded=False, filler_after_ms=300, filler_message="One moment, please. " * 3
        ),
    )
    talk = await place(setup)
    await ask(talk)
    turn = await talk.turn(1)
    await asyncio.sleep(len(FIRST_CLAUSE) * 0.06 + 0.8)

    talk.say("Hm, hm.")
    await talk.until(lambda: turn.interrupted and turn.spoken)

    assert turn.spoken == FIRST_CLAUSE
