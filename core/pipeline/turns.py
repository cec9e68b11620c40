"""When the caller's turn begins and ends: by voice activity, and by whether the words seem complete."""

import asyncio
import logging
import time

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from core.pipeline.completeness import seems_complete
from core.pipeline.frames import TurnEndedFrame
from core.pipeline.settings import AudioSettings
from core.providers.base import Transcript

log = logging.getLogger(__name__)

# Below this the voice activity flickers within words.
VAD_STOP_S = 0.2


class SpokenWordsStart(BaseUserTurnStartStrategy):
    """Begins a turn on words that voice activity missed, as of a very quiet caller."""

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, InterimTranscriptionFrame) and frame.text.strip() and _is_sure(frame.result):
            await self.trigger_user_turn_started()
            return ProcessFrameResult.STOP
        return ProcessFrameResult.CONTINUE


def _is_sure(transcript: object) -> bool:
    """A recogniser whose words come as the audio does has words for every noise, until a pause makes them stable."""
    return not isinstance(transcript, Transcript) or transcript.is_stable or not transcript.is_current


class EndOfTurn(BaseUserTurnStopStrategy):
    """Ends the turn after a short pause where the words seem complete, else after a long one.

    A recogniser that reports stable transcripts is waited for, up to the long pause: its words decide how
    long the pause must be. One that does not is asked for its final after the long pause.
    """

    def __init__(self, settings: AudioSettings) -> None:
        super().__init__()
        self._endpoint_s = settings.endpoint_ms / 1000
        self._timeout_s = settings.silence_timeout_ms / 1000
        self._speaking = False
        self._in_turn = False
        self._silent_since_s = 0.0
        self._stable_text: str | None = None
        self._timer: asyncio.Task[None] | None = None

    async def handle_user_turn_started(self) -> None:
        self._in_turn = True

    async def handle_user_turn_stopped(self) -> None:
        self._in_turn = False
        self._stable_text = None
        await self._stop_timer()

    async def cleanup(self) -> None:
        await self._stop_timer()
        await super().cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._speaking = True
            self._stable_text = None
            await self._stop_timer()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._speaking = False
            self._silent_since_s = time.monotonic() - frame.stop_secs
            await self._restart_timer()
        elif isinstance(frame, InterimTranscriptionFrame) and self._in_turn:
            await self._note(frame)
        return ProcessFrameResult.CONTINUE

    async def _note(self, frame: InterimTranscriptionFrame) -> None:
        transcript = frame.result
        if not isinstance(transcript, Transcript) or transcript.text == self._stable_text:
            return
        if not transcript.is_stable and self._stable_text is None:
            return
        self._stable_text = transcript.text if transcript.is_stable else None
        if not self._speaking:
            # A turn that voice activity did not notice is silent since its words came.
            self._silent_since_s = self._silent_since_s or time.monotonic()
            await self._restart_timer()

    async def _restart_timer(self) -> None:
        await self._stop_timer()
        self._timer = self.create_task(self._end_after_pause())

    async def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer is not asyncio.current_task():
            await self.cancel_task(timer)

    async def _end_after_pause(self) -> None:
        complete = self._stable_text is not None and seems_complete(self._stable_text)
        pause_s = self._endpoint_s if complete else max(self._timeout_s, self._endpoint_s)
        await asyncio.sleep(max(0.0, self._silent_since_s + pause_s - time.monotonic()))
        now_s = time.monotonic()
        log.info(
            "end of turn",
            extra={"complete": complete, "pause_ms": round((now_s - self._silent_since_s) * 1000)},
        )
        await self.push_frame(TurnEndedFrame(silent_since_s=self._silent_since_s, decided_at_s=now_s))
        self._silent_since_s = 0.0
        await self.trigger_user_turn_stopped()
