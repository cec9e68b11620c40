"""The tail of the pipeline: plays the agent's speech on the leg, and knows which words the caller heard."""

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field

from pipecat.frames.frames import Frame, InterruptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from core.errors import CallEnded, ConnectorError
from core.leg import CallLeg
from core.observability import metrics
from core.pipeline.drained import drained
from core.pipeline.frames import (
    Clause,
    SendDigitsFrame,
    SpeechEndFrame,
    SpeechFrame,
    SpeechOverFrame,
    SpeechStartedFrame,
)

log = logging.getLogger(__name__)

# A transport that has to ask somebody to press them waits for every key.
SEND_DIGITS_TIMEOUT_S = 60.0


@dataclass(slots=True)
class _Played:
    """A clause on the leg: where its audio lies on the leg's own count of milliseconds played, from and to."""

    clause: Clause
    stretches: list[tuple[float, float]] = field(default_factory=list)

    def note_played(self, played_ms: float) -> None:
        """The leg has come so far, and plays no more of it."""
        self.clause.note_played(
            sum(min(max(played_ms, start_ms), end_ms) - start_ms for start_ms, end_ms in self.stretches)
        )


class LegOutput(FrameProcessor):
    """Hands speech to the leg at the leg's pace, and empties the leg when the caller interrupts."""

    def __init__(self, leg: CallLeg) -> None:
        super().__init__()
        self._leg = leg
        self._utterance_id: int | None = None
        self._clauses: list[_Played] = []
        # Keys on their way, which an interruption does not stop.
        self._pressing: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            await self._interrupt()
            await self.push_frame(frame, direction)
        elif isinstance(frame, SpeechFrame):
            await self._play(frame)
        elif isinstance(frame, SendDigitsFrame):
            await self._send_digits(frame)
        elif isinstance(frame, SpeechEndFrame):
            await self._finish(frame)
        else:
            await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        if self._pressing is not None:
            await self.cancel_task(self._pressing)
            self._pressing = None
        await super().cleanup()

    async def _play(self, frame: SpeechFrame) -> None:
        await self._pressed()
        position_ms = self._leg.played_ms + self._leg.queued_ms
        length_ms = len(frame.audio) / 2 / frame.sample_rate * 1000
        if frame.utterance_id != self._utterance_id:
            await self._take_up(frame.utterance_id)
            started_at_s = time.monotonic() + self._leg.queued_ms / 1000
            await self.push_frame(
                SpeechStartedFrame(utterance_id=frame.utterance_id, started_at_s=started_at_s),
                FrameDirection.UPSTREAM,
            )
        if frame.clause is not None:
            if not self._clauses or self._clauses[-1].clause is not frame.clause:
                self._clauses.append(_Played(frame.clause))
            self._clauses[-1].stretches.append((position_ms, position_ms + length_ms))
        try:
            await self._leg.play(frame.audio)
        except CallEnded:
            log.debug("speech after the end of the call")

    async def _send_digits(self, frame: SendDigitsFrame) -> None:
        await self._pressed()
        # Who interrupts the words before them keeps them from being sent.
        await drained(self._leg)
        # From here on it cannot be known that they were not.
        frame.keys.sent = True
        self._pressing = self.create_task(self._press(frame.keys.digits))
        await self._pressed()

    async def _pressed(self) -> None:
        """Returns when no keys are being sent: nobody who waits for them stops half of them."""
        if self._pressing is not None:
            await asyncio.wait({self._pressing})

    async def _press(self, digits: str) -> None:
        try:
            async with asyncio.timeout(SEND_DIGITS_TIMEOUT_S):
                await self._leg.send_digits(digits)
        except (ConnectorError, ValueError, TimeoutError) as error:
            # A phone that takes no telephone events is a ValueError: nothing the call ends for.
            metrics.TOOL_CALLS.labels("send_digits", "failed").inc()
            log.warning("digits not sent", extra={"error": type(error).__name__})

    async def _finish(self, frame: SpeechEndFrame) -> None:
        """Waits until the last word has gone out, so that what follows is timed by what the caller hears."""
        await drained(self._leg)
        if frame.utterance_id != self._utterance_id:
            await self._take_up(frame.utterance_id)
        await self._report(frame.utterance_id, interrupted=False)

    async def _take_up(self, utterance_id: int) -> None:
        """The next utterance; the one before it is over, ended or not."""
        if self._utterance_id is not None:
            await self._report(self._utterance_id, interrupted=False)
        self._utterance_id = utterance_id

    async def _interrupt(self) -> None:
        self._leg.clear_playback()
        if self._utterance_id is not None:
            await self._report(self._utterance_id, interrupted=True)

    async def _report(self, utterance_id: int, *, interrupted: bool) -> None:
        # What is still queued of one that another follows will be played.
        played_ms = self._leg.played_ms if interrupted else math.inf
        for each in self._clauses:
            each.note_played(played_ms)
        self._utterance_id = None
        self._clauses = []
        await self.push_frame(
            SpeechOverFrame(utterance_id=utterance_id, interrupted=interrupted), FrameDirection.UPSTREAM
        )
