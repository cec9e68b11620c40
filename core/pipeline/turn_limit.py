"""Ends a turn in which the voice never pauses: a television beside the caller is voice too."""

import asyncio
import logging

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

log = logging.getLogger(__name__)


class TurnLimit(FrameProcessor):
    """Says that the caller has stopped, once they seem to have spoken for `max_turn_s` on end.

    Stands before what decides on turns. Should they really have gone on, what follows is their next turn.
    """

    def __init__(self, max_turn_s: float) -> None:
        super().__init__()
        self._max_turn_s = max_turn_s
        self._timer: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            # A pause too short to end the turn does not start the time anew.
            if self._timer is None:
                self._timer = self.create_task(self._wait())
        elif isinstance(frame, UserStoppedSpeakingFrame | EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        await self._stop()
        await super().cleanup()

    async def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer is not asyncio.current_task():
            await self.cancel_task(timer)

    async def _wait(self) -> None:
        await asyncio.sleep(self._max_turn_s)
        self._timer = None
        log.info("turn cut off", extra={"after_s": self._max_turn_s})
        await self.push_frame(VADUserStoppedSpeakingFrame(stop_secs=0.0))
