"""What the caller hears where a provider fails, hangs, or makes no sound."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from core.dialogue.settings import DialogueSettings
from core.providers.asr.scripted import ScriptedRecognizer
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.tts.scripted import ScriptedSynthesizer
from tests.core.pipeline.conftest import BrokenGenerator, BrokenSynthesizer, Place, Setup


class _HangingGenerator(ScriptedGenerator):
    """Says nothing for ever."""

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""


class _HangingSynthesizer(BrokenSynthesizer):
    """Makes no audio from the moment `hangs` is set."""

    hangs = False

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        if self.hangs:
            await asyncio.Event().wait()
        async for pcm in super().synthesize(text, sample_rate_hz):
            yield pcm


@pytest.mark.parametrize("hangs", ["llm", "tts"])
async def test_a_provider_that_does_not_answer_is_apologised_for_in_time(place: Place, hangs: str) -> None:
    synthesizer = _HangingSynthesizer(0.01)
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]),
        generator=_HangingGenerator() if hangs == "llm" else ScriptedGenerator("Blue.", 0.01),
        synthesizer=synthesizer,
        dialogue=DialogueSettings(idle_timeout_s=0, answer_timeout_s=1.0),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    synthesizer.hangs = hangs == "tts"

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == setup.dialogue.apology_message
    assert turn.started_s - turn.recognised_s < 1.5


async def test_a_voice_that_cannot_say_a_text_is_apologised_for(place: Place) -> None:
    synthesizer = BrokenSynthesizer(0.01)
    setup = Setup(recognizer=ScriptedRecognizer(["What colour is it?"]), synthesizer=synthesizer)
    talk = await place(setup)
    await talk.heard_out(0)
    synthesizer.broken = ValueError("no such sound")

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == setup.dialogue.apology_message


async def test_a_provider_that_fails_as_none_should_is_apologised_for_too(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]), generator=BrokenGenerator(["It "], KeyError("delta"))
    )
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == setup.dialogue.apology_message


class _SilentSynthesizer(ScriptedSynthesizer):
    """Succeeds without a sound, as voices do with a text that holds nothing to pronounce."""

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        if text != "\u2026":
            async for pcm in super().synthesize(text, sample_rate_hz):
                yield pcm


async def test_an_answer_without_a_sound_gives_way_to_the_way_out(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]),
        generator=ScriptedGenerator("\u2026"),
        synthesizer=_SilentSynthesizer(0.01),
    )
    talk = await place(setup)
    await talk.heard_out(0)

    talk.say()
    turn = await talk.heard_out(1)

    assert turn.spoken == setup.dialogue.way_out_message
