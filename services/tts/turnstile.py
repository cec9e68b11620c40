"""Who renders next: a few threads, given to whoever's caller would run out of speech first."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class Turnstile:
    """Runs blocking work in a bounded number of threads, the earliest deadline first. For one event loop.

    Someone who has heard nothing yet has a deadline in the past; someone with seconds of speech still to be played has
    one in the future. So first clauses go before later ones, and nobody's speech breaks off for another's comfort.
    """

    def __init__(self, threads: int, rest: Callable[[], None], rest_after_s: float) -> None:
        """`rest` is run in one of the threads when there has been nothing to do for so long."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="render")
        self._threads = self._free = threads
        self._rest = rest
        self._rest_after_s = rest_after_s
        self._rest_timer: asyncio.TimerHandle | None = None
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
        """Waits for what is being rendered. To be called once nothing more is asked for."""
        self._executor.shutdown(cancel_futures=True)

    def cancel_rest(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    async def _turn(self, deadline_s: float) -> None:
        self.cancel_rest()
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
        if self._free == self._threads:
            self._rest_timer = asyncio.get_running_loop().call_later(self._rest_after_s, self._begin_rest)

    def _begin_rest(self) -> None:
        self._rest_timer = None
        self._free -= 1
        resting = asyncio.get_running_loop().run_in_executor(self._executor, self._rest)
        resting.add_done_callback(self._end_rest)

    def _end_rest(self, resting: asyncio.Future[None]) -> None:
        if not resting.cancelled() and (error := resting.exception()):
            log.warning("memory not given back", exc_info=error)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
