"""Notices that the caller has been silent since the agent's last word."""

import asyncio
from collections.abc import Awaitable, Callable


class IdleTimer:
    """Calls `on_idle` once, `timeout_s` after `start`, unless stopped; a timeout of 0 never does."""

    def __init__(self, timeout_s: float, on_idle: Callable[[], Awaitable[None]]) -> None:
        self._timeout_s = timeout_s
        self._on_idle = on_idle
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to wait, anew if it was waiting. Needs a running loop."""
        self.stop()
        if self._timeout_s:
            self._task = asyncio.get_running_loop().create_task(self._wait(), name="idle")

    def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _wait(self) -> None:
        await asyncio.sleep(self._timeout_s)
        await self._on_idle()
