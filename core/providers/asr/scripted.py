"""A recogniser that hears prepared lines: for load tests and for trying a configuration without models."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import cycle

from core.errors import ProviderUnavailable
from core.providers.base import RecognitionStream, Transcript
from core.providers.settings import AsrSettings

NAME = "scripted"
SETTINGS = None
LINES = ("When are you open?", "Where can I park?", "What is the meaning of life?")
SPEECH_LEVEL = 500
PAUSE_S = 0.1
MIN_SPEECH_S = 0.1


class ScriptedStream:
    """Takes each stretch of loud audio for the next line; it is stable after a short pause."""

    def __init__(self, lines: Iterable[str], sample_rate_hz: int) -> None:
        self._lines = iter(lines)
        self._rate_hz = sample_rate_hz
        self._results: asyncio.Queue[Transcript | None] = asyncio.Queue()
        self._loud_s = 0.0
        self._quiet_s = 0.0
        self._text = ""
        self._closed = False

    async def send(self, pcm: bytes) -> None:
        if self._closed:
            raise ProviderUnavailable(NAME, "the stream is closed")
        samples = array("h", pcm)
        if not samples:
            return
        length_s = len(samples) / self._rate_hz
        if max(samples) > SPEECH_LEVEL:
            self._loud_s += length_s
            self._quiet_s = 0.0
            return
        self._quiet_s += length_s
        if self._loud_s >= MIN_SPEECH_S and self._quiet_s >= PAUSE_S:
            self._loud_s = 0.0
            self._text = f"{self._text} {next(self._lines, '')}".strip()
            self._results.put_nowait(Transcript(self._text, is_stable=True))

    async def finalize(self, utterance_id: int) -> None:
        text, self._text = self._text, ""
        reason = "" if text else "silence"
        self._results.put_nowait(Transcript(text, is_final=True, utterance_id=utterance_id, rejected_reason=reason))

    async def transcripts(self) -> AsyncIterator[Transcript]:
        while (transcript := await self._results.get()) is not None:
            yield transcript

    async def close(self) -> None:
        self._closed = True
        self._results.put_nowait(None)


class ScriptedRecognizer:
    """Hears the same lines on every call, over and over."""

    name = NAME
    ready = True

    def __init__(self, lines: Sequence[str] = LINES, *, repeat: bool = True) -> None:
        self._lines = lines
        self._repeat = repeat

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        return ScriptedStream(cycle(self._lines) if self._repeat else self._lines, sample_rate_hz)

    async def close(self) -> None:
        """Holds nothing."""


def build(settings: AsrSettings, own: None) -> ScriptedRecognizer:
    return ScriptedRecognizer()
