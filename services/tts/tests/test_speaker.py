"""From clauses to audio, in order and stopped when nobody listens."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.tts.clauses import Break
from services.tts.pcm import duration_s
from services.tts.phrase_cache import PhraseCache
from services.tts.requests import Speech, spoken_clauses
from services.tts.speaker import PAUSE_MS, Speaker, SpokenAudio
from services.tts.tests.factories import samples
from services.tts.tests.tone_engine import ANNA, BERT, WORD_S, ToneEngine
from services.tts.turnstile import Turnstile

RATE_HZ = 8000
TIMEOUT_S = 5
TEXT = "Thank you for calling, how can I help you? Yes."


def speech(text: str = TEXT, *, speaking_rate: float = 1.0, rate_hz: int = RATE_HZ) -> Speech:
    return Speech(spoken_clauses(text, ANNA.language), ANNA, rate_hz, speaking_rate)


@pytest.fixture
async def turnstile(engine: ToneEngine) -> AsyncIterator[Turnstile]:
    turnstile = Turnstile(1, engine.rest, 60)
    yield turnstile
    turnstile.cancel_rest()
    turnstile.close()


@pytest.fixture
def speaker(engine: ToneEngine, turnstile: Turnstile) -> Speaker:
    return Speaker(engine, turnstile, PhraseCache(1_000_000))


async def spoken(speaker: Speaker, what: Speech) -> list[SpokenAudio]:
    return [clause async for clause in speaker.speak(what)]


async def test_each_clause_carries_its_words_and_its_place(speaker: Speaker) -> None:
    clauses = await spoken(speaker, speech())
    assert [clause.text for clause in clauses] == ["Thank you for calling,", "how can I help you?", "Yes."]
    end_s = 0.0
    for clause, words, pause in zip(clauses, (4, 5, 1), (Break.COMMA, Break.SENTENCE, Break.SENTENCE), strict=True):
        assert clause.start_s == pytest.approx(end_s)
        assert clause.end_s - clause.start_s == pytest.approx(words * WORD_S, abs=0.05)
        end_s = clause.start_s + duration_s(len(clause.pcm), RATE_HZ)
        assert end_s - clause.end_s == pytest.approx(PAUSE_MS[pause] / 1000, abs=0.001)


async def test_the_joints_are_silent_and_do_not_click(speaker: Speaker) -> None:
    audio = samples(b"".join(clause.pcm for clause in await spoken(speaker, speech())))
    first = (await spoken(speaker, speech()))[0]
    at = int(first.end_s * RATE_HZ)
    assert np.max(np.abs(audio[at : at + int(PAUSE_MS[Break.COMMA] / 1000 * RATE_HZ)])) == 0
    # No step is larger than those of the 440 Hz tone itself.
    assert np.max(np.abs(np.diff(audio))) <= 2 * np.pi * 440 / RATE_HZ * np.max(np.abs(audio)) * 1.05


async def test_faster_speech_has_shorter_pauses(speaker: Speaker) -> None:
    normal, fast = await spoken(speaker, speech()), await spoken(speaker, speech(speaking_rate=2.0))
    assert sum(len(c.pcm) for c in fast) == pytest.approx(sum(len(c.pcm) for c in normal) / 2, rel=0.05)


async def test_what_was_said_before_is_not_rendered_again(speaker: Speaker, engine: ToneEngine) -> None:
    first = await spoken(speaker, speech())
    again = await spoken(speaker, speech("Thank you for calling, Yes and no."))
    assert [clause.from_cache for clause in again] == [True, False]
    assert again[0].pcm == first[0].pcm
    assert engine.rendered.count("Thank you for calling,") == 1


async def test_a_clause_is_begun_when_it_is_asked_for(speaker: Speaker, engine: ToneEngine) -> None:
    speaking = speaker.speak(speech())
    await anext(speaking)
    assert engine.rendered == ["Thank you for calling,"]
    await speaking.aclose()


async def test_a_voice_of_another_rate_keeps_its_length(speaker: Speaker) -> None:
    (clause,) = await spoken(speaker, Speech(spoken_clauses("eins zwei drei", "de"), BERT, 22050, 1.0))
    assert clause.end_s == pytest.approx(3 * WORD_S, abs=0.05)


async def test_a_later_clause_waits_for_first_ones_that_come_after_it(
    speaker: Speaker, turnstile: Turnstile, engine: ToneEngine
) -> None:
    async def waiting(count: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while turnstile.waiting < count:
                await asyncio.sleep(0)

    engine.hold()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spoken(speaker, speech("Here is my first. Here is my second.")))
        assert await asyncio.to_thread(engine.begun.acquire, timeout=TIMEOUT_S)
        tasks.create_task(spoken(speaker, speech("Another caller.")))
        await waiting(1)
        engine.let_one_go()
        assert await asyncio.to_thread(engine.begun.acquire, timeout=TIMEOUT_S)
        await waiting(1)
        tasks.create_task(spoken(speaker, speech("The last caller.")))
        await waiting(2)
        engine.let_go()
    assert engine.rendered == ["Here is my first.", "Another caller.", "The last caller.", "Here is my second."]
