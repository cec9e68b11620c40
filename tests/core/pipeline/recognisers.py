"""Recognisers of every manner: with stable words, with none but guesses as the audio comes, and with finals alone."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Literal

from core.errors import ProviderUnavailable
from core.providers.base import RecognitionStream, Transcript

Manner = Literal["stable", "current", "partial", "buffered"]
MANNERS: tuple[Manner, ...] = ("stable", "current", "partial", "buffered")
SPEECH_LEVEL = 500
MIN_SPEECH_S = 0.1
PAUSE_S = 0.1
WORD_S = 0.25
# How late a streaming recogniser hears, and how long one takes that begins only at the end.
LAG_S = 0.2
BUFFERED_S = 0.3


class MannerStream:
    """Takes each stretch of loud audio for the next line, and tells of it as its manner is.

    "stable" once the caller pauses; "current" and "partial" word by word, always late, of which only "current" says
    that it keeps up; "buffered" not before it is asked.
    """

    def __init__(self, manner: Manner, lines: Iterator[str], sample_rate_hz: int) -> None:
        self._manner = manner
        self._lines = lines
        self._rate_hz = sample_rate_hz
        self._results: asyncio.Queue[Transcript | None] = asyncio.Queue()
        self._closed = False
        self._told = ""
        self._read: list[str] = []
        self._line: str | None = None
        self._loud_s = 0.0
        self._quiet_s = 0.0

    async def send(self, pcm: bytes) -> None:
        if self._closed:
            raise ProviderUnavailable("test", "the stream is closed")
        samples = array("h", pcm)
        length_s = len(samples) / self._rate_hz
        if max(samples, default=0) > SPEECH_LEVEL:
            self._loud_s += length_s
            self._quiet_s = 0.0
        else:
            self._quiet_s += length_s
        if self._loud_s >= MIN_SPEECH_S and self._line is None:
            self._line = next(self._lines, "")
        self._tell()
        if self._line is not None and self._quiet_s >= LAG_S:
            self._end_line()

    async def finalize(self, utterance_id: int) -> None:
        self._end_line()
        text, self._read = " ".join(self._read), []
        final = Transcript(text, is_final=True, utterance_id=utterance_id, rejected_reason="" if text else "silence")
        after_s = BUFFERED_S if self._manner == "buffered" else 0.0
        asyncio.get_running_loop().call_later(after_s, self._results.put_nowait, final)

    async def transcripts(self) -> AsyncIterator[Transcript]:
        while (transcript := await self._results.get()) is not None:
            yield transcript

    async def close(self) -> None:
        self._closed = True
        self._results.put_nowait(None)

    def _end_line(self) -> None:
        if self._line:
            self._read.append(self._line)
        self._line, self._loud_s = None, 0.0

    def _tell(self) -> None:
        if self._manner == "buffered":
            return
        if self._manner == "stable":
            text = self._so_far(all_words=True) if self._quiet_s >= PAUSE_S else ""
            if text and text != self._told:
                self._told = text
                self._results.put_nowait(Transcript(text, is_stable=True))
            return
        text = self._so_far(all_words=self._quiet_s >= LAG_S)
        if text:
            self._results.put_nowait(Transcript(text, is_current=self._manner == "current"))

    def _so_far(self, *, all_words: bool) -> str:
        words = (self._line or "").split()
        if not all_words:
            words = words[: min(len(words) - 1, int(self._loud_s / WORD_S))] if words else []
        return " ".join([*self._read, *words])


class MannerRecognizer:
    """Hears the lines, whichever stream they are said on."""

    name = "test"
    ready = True

    def __init__(self, manner: Manner, lines: Sequence[str]) -> None:
        self._manner = manner
        self._lines = iter(lines)

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        return MannerStream(self._manner, self._lines, sample_rate_hz)

    async def close(self) -> None:
        """Holds nothing."""
