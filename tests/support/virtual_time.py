"""A loop on which time passes only while everything waits: what takes an hour is over at once."""

import asyncio
from typing import Any


class VirtualTime:
    """Replaces the time of a running loop on which nothing waits for a socket or a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now_s = loop.time()
        patched: Any = loop
        self._select = patched._selector.select
        patched._selector.select = self._pass
        patched.time = self.now

    def now(self) -> float:
        return self._now_s

    def _pass(self, timeout: float | None) -> Any:
        if timeout:
            self._now_s += timeout
            timeout = 0
        return self._select(timeout)
