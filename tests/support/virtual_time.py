"""A loop on which time passes only while everything waits: what takes an hour is over at once."""

import asyncio
from typing import Any


class VirtualTime:
    """Replaces the time of a running loop. While its threads work, or a socket has news, no time passes.

    What waits for another process, or for a server that waits itself, is not for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now_s = loop.time()
        self._in_threads = 0
        patched: Any = loop
        self._select = patched._selector.select
        self._run_in_executor = loop.run_in_executor
        patched._selector.select = self._pass
        patched.run_in_executor = self._run_in_thread
        patched.time = self.now

    def now(self) -> float:
        return self._now_s

    def _pass(self, timeout: float | None) -> Any:
        if not timeout:
            return self._select(timeout)
        if self._in_threads:
            # Its end is news.
            return self._select(None)
        news = self._select(0)
        if not news:
            self._now_s += timeout
        return news

    def _run_in_thread(self, *asked: Any) -> asyncio.Future[Any]:
        self._in_threads += 1
        running = self._run_in_executor(*asked)
        running.add_done_callback(self._note_done)
        return running

    def _note_done(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1
