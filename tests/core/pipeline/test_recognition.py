"""The recogniser's side of a call: streams that break, and finals that come late."""

import asyncio
from collections.abc import Sequence

from core.errors import ProviderUnavailable
from core.pipeline.settings import AudioSettings
from core.providers.asr.scripted import ScriptedRecognizer, ScriptedStream
from core.providers.base import RecognitionStream, Transcript
from tests.core.pipeline.conftest import KNOWLEDGE, Place, Setup

HOURS = KNOWLEDGE.entries[0].answer


class _StuckStream(ScriptedStream):
    """Takes no audio any more, and says nothing about it."""

    async def send(self, pcm: bytes) -> None:
        raise ProviderUnavailable("test", "does not keep up")


class _StuckOnceRecognizer(ScriptedRecognizer):
    opened = 0

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        self.opened += 1
        if self.opened == 1:
            return _StuckStream([], sample_rate_hz)
        return await super().open(sample_rate_hz, phrases)


async def test_a_stream_that_takes_no_audio_is_replaced(place: Place) -> None:
    recognizer = _StuckOnceRecognizer(["When are you open?"])
    talk = await place(Setup(recognizer=recognizer))
    await talk.heard_out(0)

    await talk.until(lambda: recognizer.opened == 2)
    talk.say()
    turn = await talk.heard_out(1)

    assert turn.said == HOURS


class _LateStream(ScriptedStream):
    """Gives each final three seconds after it was asked for."""

    finalized = 0

    async def finalize(self, utterance_id: int) -> None:
        self.finalized += 1
        text, self._text = self._text, ""
        final = Transcript(text, is_final=True, utterance_id=utterance_id)
        asyncio.get_running_loop().call_later(3.0, self._results.put_nowait, final)


class _LateRecognizer(ScriptedRecognizer):
    stream: _LateStream

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        self.stream = _LateStream(["Do you", "take credit cards?"], sample_rate_hz)
        return self.stream


async def test_a_final_that_the_next_one_overtakes_is_not_lost(place: Place) -> None:
    recognizer = _LateRecognizer()
    talk = await place(Setup(recognizer=recognizer, audio=AudioSettings(silence_timeout_ms=400)))
    await talk.heard_out(0)

    talk.say("Can I pay")
    await talk.until(lambda: recognizer.stream.finalized == 1)
    talk.say("by card?")
    await talk.until(lambda: recognizer.stream.finalized == 2)
    assert len(talk.record.turns) == 1
    turn = await talk.heard_out(1)

    assert turn.heard == "Do you take credit cards?"
    assert len(talk.record.turns) == 2
