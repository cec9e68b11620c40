"""A recogniser that is away in the middle of a call: apologised for once, and not waited for for ever."""

import asyncio
from collections.abc import Awaitable, Callable

# A recogniser that is back sooner was not missed.
BEFORE_APOLOGY_S = 1.5
# Without ears the call is worth nothing to the caller.
BEFORE_HANG_UP_S = 30.0


class Outage:
    """Calls `on_missed` and later `on_hopeless`, unless the recogniser works again first. Needs a running loop."""

    def __init__(self, on_missed: Callable[[], Awaitable[None]], on_hopeless: Callable[[], Awaitable[None]]) -> None:
        self._on_missed = on_missed
        self._on_hopeless = on_hopeless
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The recogniser is away; without effect where that is known."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live_through(), name="outage")

    def end(self) -> None:
        """It works again, or the call is over."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _live_through(self) -> None:
        await asyncio.sleep(BEFORE_APOLOGY_S)
        await self._on_missed()
        await asyncio.sleep(BEFORE_HANG_UP_S - BEFORE_APOLOGY_S)
        await self._on_hopeless()
