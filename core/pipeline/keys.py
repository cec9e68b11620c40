"""Key presses, taken together: until a pause, or until the caller presses #; but never in the midst of their turn."""

import asyncio
from collections.abc import Awaitable, Callable

ENTER = "#"
# Nobody types more into a telephone; a stuck key does.
MAX_KEYS = 32


class KeyCollector:
    """Calls `on_keys` with the keys pressed since the last time, "" where # stood alone. Needs a running loop."""

    def __init__(self, pause_s: float, on_keys: Callable[[str], Awaitable[None]]) -> None:
        self._pause_s = pause_s
        self._on_keys = on_keys
        self._keys = ""
        self._complete = False
        self._free = asyncio.Event()
        self._free.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def held_back(self) -> bool:
        """Whether keys are complete and only wait for `release`."""
        return self._complete and bool(self._keys)

    def press(self, key: str) -> None:
        if key != ENTER and len(self._keys) < MAX_KEYS:
            self._keys += key
        self.stop()
        delay_s = 0.0 if key == ENTER else self._pause_s
        self._task = asyncio.get_running_loop().create_task(self._finish(delay_s), name="keys")

    def hold(self) -> None:
        """From now on complete keys are kept."""
        self._free.clear()

    def release(self) -> None:
        """Passes on what was held back."""
        self._free.set()

    def stop(self) -> None:
        """Waits no longer; what was pressed is kept for the next key."""
        self._complete = False
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _finish(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._complete = True
        await self._free.wait()
        self._complete = False
        keys, self._keys = self._keys, ""
        await self._on_keys(keys)
