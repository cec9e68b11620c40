"""Who renders next: a few threads, given to whoever's caller would run out of speech first."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Turnstile:
    """Runs blocking work in a bounded number of threads, the earliest deadline first. For one event loop.

    Someone who has heard nothing yet has a deadline in the past; someone with seconds of speech still to be played has
    one in the future. So first clauses go before later ones, and nobody's speech breaks off for another's comfort.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="render")
        self._free = threads
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @property
    def waiting(self) -> int:
        return sum(1 for *_, turn in self._waiting if not turn.done())

    async def run(self, deadline_s: float, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Cancelled while it waits, it never begins; once begun it is left to finish."""
        await self._turn(deadline_s)
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        # The thread is free when the work is over, not when nobody wants its result any more.
        running.add_done_callback(self._release)
        return await asyncio.shield(running)

    def close(self) -> None:
        """Waits for what is being rendered."""
        self._executor.shutdown(cancel_futures=True)

    async def _turn(self, deadline_s: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline_s, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _release(self, running: asyncio.Future[T]) -> None:
        if not running.cancelled():
            # Whoever asked may be gone; an error nobody waits for is not worth a warning.
            running.exception()
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
