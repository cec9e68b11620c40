"""How the agent leaves a call: it hangs up or transfers, while the conversation goes on beside that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pipecat.processors.frame_processor import FrameProcessor

from core.errors import CallEnded, TransferFailed
from core.leg import CallLeg, EndReason

log = logging.getLogger(__name__)


class Leaving:
    """One attempt at a time, in a task of `processor`; calls `on_failed` where a transfer came to nothing."""

    def __init__(self, processor: FrameProcessor, leg: CallLeg, on_failed: Callable[[], Awaitable[None]]) -> None:
        self._processor = processor
        self._leg = leg
        self._on_failed = on_failed
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._task is not None

    async def hang_up(self, reason: EndReason) -> None:
        """Takes the place of a transfer that has not come to its end."""
        await self.stop()
        self._task = self._processor.create_task(self._hang_up(reason))

    def transfer(self, target: str) -> None:
        """Without effect where the call is being left already."""
        if self._task is None:
            self._task = self._processor.create_task(self._transfer(target))

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await self._processor.cancel_task(task)

    async def _hang_up(self, reason: EndReason) -> None:
        await self._leg.hang_up(reason)

    async def _transfer(self, target: str) -> None:
        try:
            await self._leg.transfer(target)
        except TransferFailed as error:
            log.warning("transfer failed", extra={"error": str(error)})
            self._task = None
            await self._on_failed()
        except CallEnded:
            log.debug("the call ended before its transfer")
