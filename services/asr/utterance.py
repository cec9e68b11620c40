"""One utterance on its way from audio to a believed transcript; read as often as it is worth."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from services.asr.engine import Engine, Recognition, RecognitionOptions, Samples, Transcript
from services.asr.phantoms import Rejection, unbelieved, without_speech
from services.asr.scheduler import Priority, Scheduler
from services.asr.utterance_audio import UtteranceAudio

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a pass of the engine gave.

    Attributes:
        final: the engine's best; an interim reading is only quick.
        kept: what it knows of, as `UtteranceAudio.kept`.
        seconds: the engine took for it.
    """

    transcript: Transcript
    final: bool
    kept: tuple[int, bool]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A final transcript; an empty one for a reason."""

    transcript: Transcript
    rejection: Rejection | None
    seconds: float


class Utterance:
    """Not more than one `read` at a time.

    Attributes:
        reading: the latest.
        running: a pass has its thread: it can no longer be taken back.
        superseded: set to end an interim pass that runs.
    """

    def __init__(
        self, engine: Engine, scheduler: Scheduler, options: RecognitionOptions, audio: UtteranceAudio
    ) -> None:
        self.audio = audio
        self.reading: Reading | None = None
        self.running = False
        self.superseded = False
        self._engine = engine
        self._scheduler = scheduler
        self._options = options
        self._recognition: Recognition | None = None

    @property
    def read_up(self) -> bool:
        """Nothing was said since the latest reading."""
        return self.reading is not None and self.reading.kept == self.audio.kept

    @property
    def settled(self) -> bool:
        """The latest reading is what a final one would be."""
        return self.reading is not None and self.reading.final and self.read_up

    async def read(self, priority: Priority, *, final: bool) -> Reading | None:
        """A new reading of all that was said; None if it was superseded.

        Raises:
            PassDropped: an interim one came too late.
        """

        def work(recognition: Recognition) -> Transcript | None:
            if final:
                return recognition.final()
            return recognition.interim(lambda: self.superseded or self._scheduler.contended)

        self.superseded = False
        transcript, kept, seconds = await self._pass(priority, work)
        if transcript is None:
            return None
        self.reading = Reading(self._timed(transcript), final, kept, seconds)
        return self.reading

    async def accept(self) -> None:
        """Hands over what was heard so far, and reads none of it yet."""
        await self._pass(Priority.STABLE, lambda _: None)

    async def finish(self, reading: "asyncio.Task[None] | None" = None) -> Outcome:
        """The final transcript. `reading` is the task of a pass begun earlier, whose work is used where it can be."""
        if reading is not None and not reading.done():
            if self.running:
                # Of an interim pass nothing is needed; a stable one may turn out to be the final.
                self.superseded = True
                await asyncio.wait({reading})
            else:
                reading.cancel()
        rejection = without_speech(self.audio)
        if rejection:
            return Outcome(Transcript(), rejection, 0.0)
        last = self.reading if self.settled else await self.read(Priority.FINAL, final=True)
        assert last is not None
        rejection = unbelieved(last.transcript, self.audio)
        return Outcome(Transcript() if rejection else last.transcript, rejection, last.seconds)

    async def _pass(self, priority: Priority, work: Callable[[Recognition], T]) -> tuple[T, tuple[int, bool], float]:
        kept = self.audio.kept

        def prepare() -> Callable[[], tuple[T, float]]:
            nonlocal kept
            self.running = True
            kept = self.audio.kept
            samples = self.audio.take()
            return lambda: self._on_thread(samples, work)

        try:
            result, seconds = await self._scheduler.run(priority, prepare)
        finally:
            self.running = False
        return result, kept, seconds

    def _on_thread(self, samples: Samples, work: Callable[[Recognition], T]) -> tuple[T, float]:
        started_s = time.perf_counter()
        if self._recognition is None:
            self._recognition = self._engine.begin(self._options)
        if len(samples):
            self._recognition.accept(samples)
        result = work(self._recognition)
        return result, time.perf_counter() - started_s

    def _timed(self, transcript: Transcript) -> Transcript:
        """With its words timed in the stream, not in the speech cut out of it."""
        stream_s = self.audio.stream_s
        words = tuple(
            replace(word, start_s=stream_s(word.start_s), end_s=stream_s(word.end_s)) for word in transcript.words
        )
        return replace(transcript, words=words)
