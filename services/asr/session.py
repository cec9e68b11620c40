"""One stream: decides when its speech is read, and tells what was read."""

import asyncio
import contextlib
from dataclasses import dataclass

from services.asr.engine import SAMPLE_RATE_HZ, Engine, Samples, Transcript
from services.asr.phantoms import Rejection, unbelieved
from services.asr.requests import StreamOptions
from services.asr.resample import Upsampler
from services.asr.scheduler import PassDropped, Priority, Scheduler
from services.asr.segmenter import Segmenter
from services.asr.settings import AsrSettings
from services.asr.statistics import Statistics
from services.asr.utterance import Utterance
from services.asr.voice_activity import VoiceActivityModel

# Audio is looked at in steps, so that one long message is heard like many short ones.
_STEP_S = 0.1
# A client that sends faster than it can be read waits from here on.
_PENDING_MAX_S = 20.0
# So many finals may be on their way before the client waits.
_FINISHING_MAX = 4
_OUTBOX_MAX = 8
# Kaldi's words come so much later than its audio (five of six last words with the packaged model, none without).
_SETTLING_S = 0.4
# After a reading that was not believed.
_REST_S = 2.0
# A reading is forced by then, so that the audio of a client that wants no interim results does not pile up.
_UNREAD_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the client is told.

    Attributes:
        stable: the caller paused after these words.
        utterance_id: of the request that a final answers.
    """

    transcript: Transcript
    final: bool
    stable: bool = False
    utterance_id: int = 0
    seconds: float = 0.0
    rejection: Rejection | None = None


@dataclass(frozen=True)
class Hearing:
    """What all streams share."""

    engine: Engine
    scheduler: Scheduler
    statistics: Statistics
    settings: AsrSettings
    voice_activity: VoiceActivityModel


@dataclass(frozen=True, slots=True)
class _Finishing:
    utterance: Utterance
    reading: "asyncio.Task[None] | None"
    utterance_id: int
    asked_s: float


class Session:
    """Fed by one task, `outbox` emptied by another; None there is the end. Its own tasks belong to `group`."""

    def __init__(self, hearing: Hearing, options: StreamOptions, group: asyncio.TaskGroup) -> None:
        settings = hearing.settings
        self.outbox: asyncio.Queue[Heard | None] = asyncio.Queue(_OUTBOX_MAX)
        self._hearing = hearing
        self._options = options
        self._group = group
        self._clock = asyncio.get_running_loop().time
        self._upsampler = Upsampler() if options.sample_rate_hz != SAMPLE_RATE_HZ else None
        self._segmenter = Segmenter(hearing.voice_activity.stream(), settings.vad_threshold, settings.margin_ms / 1000)
        # Where silence is added, it must not be in the middle of a word.
        pause_ms = settings.pause_ms if hearing.engine.repeatable else max(settings.pause_ms, settings.margin_ms)
        self._pause_s = pause_ms / 1000
        self._utterance = self._begin()
        self._reading: asyncio.Task[None] | None = None
        self._priority = Priority.INTERIM
        self._read_s = self._clock()
        self._interval_s = hearing.engine.interim_interval_s
        self._rest_until_s = 0.0
        self._finishing: asyncio.Queue[_Finishing | None] = asyncio.Queue(_FINISHING_MAX)
        self._unanswered = 0
        self._finisher = group.create_task(self._finish())

    async def feed(self, samples: Samples) -> None:
        """Audio at the stream's rate. Waits where the engine is too far behind."""
        if self._upsampler:
            samples = self._upsampler.feed(samples)
        step = int(_STEP_S * SAMPLE_RATE_HZ)
        for start in range(0, len(samples), step):
            self._segmenter.feed(samples[start : start + step])
            await self._follow()

    async def finalize(self, utterance_id: int) -> None:
        """The utterance is over. Its final transcript follows in the outbox; what comes in belongs to the next one."""
        finishing = _Finishing(self._utterance, self._reading, utterance_id, self._clock())
        self._segmenter.next_utterance()
        self._utterance = self._begin()
        self._reading = None
        self._read_s = self._clock()
        self._unanswered += 1
        await self._finishing.put(finishing)

    def reset(self) -> None:
        """Forgets the utterance."""
        if self._reading:
            self._reading.cancel()
            self._reading = None
        self._segmenter.next_utterance()
        self._utterance = self._begin()

    async def end(self, *, answer: bool) -> None:
        """No audio follows. With `answer` there is a final even if nothing was said. Ends the outbox."""
        self._segmenter.flush()
        if answer or self._utterance.audio.spoken:
            await self.finalize(0)
        elif self._reading:
            self._reading.cancel()
        await self._finishing.put(None)
        await self._finisher
        await self.outbox.put(None)

    def _begin(self) -> Utterance:
        hearing = self._hearing
        return Utterance(hearing.engine, hearing.scheduler, self._options.recognition, self._segmenter.utterance)

    async def _follow(self) -> None:
        """After every step: does the utterance end here, is it time to read, must the client wait?"""
        audio = self._utterance.audio
        if not audio.spoken:
            return
        if not self._options.client_endpointing and audio.quiet_s >= self._options.endpoint_silence_s:
            await self.finalize(0)
            return
        self._consider()
        while audio.pending_s > _PENDING_MAX_S and self._reading:
            await asyncio.wait({self._reading})
            self._consider()

    def _consider(self) -> None:
        """Begins the reading that is due, if any."""
        utterance, audio = self._utterance, self._utterance.audio
        if not audio.spoken:
            return
        paused = audio.quiet_s >= self._pause_s
        if self._settled():
            return
        if self._reading is None:
            if paused and self._clock() >= self._rest_until_s:
                self._start(Priority.STABLE)
            elif not paused and self._interim_is_due():
                self._start(Priority.INTERIM)
        elif paused and self._priority is Priority.INTERIM:
            # It gives way to the reading that counts: by its place in the queue, or by ending early.
            utterance.superseded = True
            if not utterance.running:
                self._reading.cancel()
                self._start(Priority.STABLE)

    def _settled(self) -> bool:
        """Whether the latest reading is as good as a final one."""
        return self._utterance.settled or (self._utterance.read_up and self._utterance.audio.hushed)

    def _interim_is_due(self) -> bool:
        if self._utterance.audio.pending_s >= _UNREAD_MAX_S:
            return True
        # An engine that hears as it goes has to be fed, whether the client wants to know or not.
        wanted = self._options.interim_results or not self._hearing.engine.repeatable
        waited_s = self._clock() - self._read_s
        return wanted and not self._unanswered and waited_s >= self._interval_s

    def _start(self, priority: Priority) -> None:
        self._priority = priority
        if priority is Priority.STABLE and not self._hearing.engine.repeatable:
            self._utterance.audio.add_silence(_SETTLING_S)
        self._reading = self._group.create_task(self._read(self._utterance, priority))

    async def _read(self, utterance: Utterance, priority: Priority) -> None:
        final = priority is Priority.STABLE and self._hearing.engine.repeatable
        self._read_s = self._clock()
        try:
            reading = await utterance.read(priority, final=final)
        except PassDropped:
            self._hearing.statistics.dropped()
            reading = None
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None
        if reading:
            self._hearing.statistics.read("stable" if final else "interim", reading.seconds)
            self._interval_s = self._next_interval_s(reading.seconds)
        if utterance is not self._utterance:
            return
        believed = reading is not None and unbelieved(reading.transcript, utterance.audio) is None
        if reading and reading.final and not believed:
            # A television in the background must not keep the engine busy: its every pause is not read at once.
            self._rest_until_s = self._clock() + _REST_S
        if reading and believed and self._options.interim_results:
            stable = self._settled() and utterance.audio.quiet_s >= self._pause_s
            heard = Heard(reading.transcript, final=False, stable=stable, seconds=reading.seconds)
            # A client that does not read misses interim results, not finals.
            with contextlib.suppress(asyncio.QueueFull):
                self.outbox.put_nowait(heard)
        self._consider()

    def _next_interval_s(self, seconds: float) -> float:
        """How long to wait after a reading that took so long."""
        engine = self._hearing.engine
        if not engine.repeatable:
            return engine.interim_interval_s
        return max(engine.interim_interval_s, seconds * engine.threads / self._hearing.settings.interim_share)

    async def _finish(self) -> None:
        """Answers each ended utterance in turn."""
        while finishing := await self._finishing.get():
            utterance = finishing.utterance
            known = utterance.reading
            outcome = await utterance.finish(finishing.reading)
            statistics = self._hearing.statistics
            if utterance.reading and utterance.reading is not known:
                statistics.read("final", utterance.reading.seconds)
            statistics.answered(self._clock() - finishing.asked_s, outcome.rejection)
            await self.outbox.put(
                Heard(
                    outcome.transcript,
                    final=True,
                    utterance_id=finishing.utterance_id,
                    seconds=outcome.seconds,
                    rejection=outcome.rejection,
                )
            )
            self._unanswered -= 1
