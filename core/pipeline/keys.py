"""Key presses, taken together: until a pause, or until the caller presses #."""

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
        self._task: asyncio.Task[None] | None = None

    def press(self, key: str) -> None:
        if key != ENTER and len(self._keys) < MAX_KEYS:
            self._keys += key
        self.stop()
        delay_s = 0.0 if key == ENTER else self._pause_s
        self._task = asyncio.get_running_loop().create_task(self._finish(delay_s), name="keys")

    def stop(self) -> None:
        """Waits no longer; what was pressed is kept for the next key."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _finish(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        keys, self._keys = self._keys, ""
        await self._on_keys(keys)
