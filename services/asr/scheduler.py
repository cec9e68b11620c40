"""Who may use the engine next: finals before stable readings before interim ones, each in the order they came."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T")


class Priority(IntEnum):
    FINAL = 0
    STABLE = 1
    INTERIM = 2


class PassDropped(Exception):
    """The engine was busy for so long that the reading is not wanted any more."""


class Scheduler:
    """A few threads, and a queue that the number of streams bounds: each has a few passes in it at most."""

    def __init__(self, passes: int, interim_wait_s: float = 0.3) -> None:
        self._threads = ThreadPoolExecutor(passes, thread_name_prefix="asr-pass")
        self._free = passes
        self._interim_wait_s = interim_wait_s
        self._urgent = 0
        self._order = itertools.count()
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []

    @property
    def contended(self) -> bool:
        """Whether somebody waits who matters more than an interim reading."""
        return self._urgent > 0

    async def run(self, priority: Priority, prepare: Callable[[], Callable[[], T]]) -> T:
        """Runs on a thread what `prepare` gives, which is called here as soon as a thread is free.

        Cancelling frees a waiting place at once; a pass that runs ends by itself, and then frees its thread.

        Raises:
            PassDropped: an interim pass waited for too long.
        """
        await self._turn(priority)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, prepare())
        except BaseException:
            self._release()
            raise
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Waits for the passes that run."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def _turn(self, priority: Priority) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        wait_s = self._interim_wait_s if priority is Priority.INTERIM else None
        self._urgent += priority < Priority.INTERIM
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as error:
            # The turn may have come at the same moment: then it goes to the next one.
            if turn.done() and not turn.cancelled():
                self._release()
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise PassDropped from error
            raise
        finally:
            self._urgent -= priority < Priority.INTERIM

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _ended(self, running: "asyncio.Future[T]") -> None:
        self._release()
        if not running.cancelled():
            # Whoever waited may be gone; its error is then nobody's.
            with contextlib.suppress(Exception):
                running.exception()
