"""Time that a test can hold still."""

import asyncio
import heapq
from itertools import count
from typing import Protocol

# Between two deadlines everything that became ready runs, and what that made ready in turn.
_TURNS_PER_DEADLINE = 20


class Clock(Protocol):
    """Monotonic seconds, and a way to wait for them."""

    def now(self) -> float: ...

    async def sleep_until(self, deadline_s: float) -> None: ...


class LoopClock:
    """Real time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep_until(self, deadline_s: float) -> None:
        await asyncio.sleep(max(0.0, deadline_s - self.now()))


class VirtualClock:
    """Stands still until `advance`; sleepers wake in the order of their deadlines."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> float:
        return self._now_s

    async def sleep_until(self, deadline_s: float) -> None:
        if deadline_s <= self._now_s:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline_s, next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Lets so much time pass, and all that happens in it happen."""
        until_s = self._now_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until_s:
            deadline_s, _, wake = heapq.heappop(self._sleepers)
            self._now_s = max(self._now_s, deadline_s)
            if not wake.done():
                wake.set_result(None)
            await self._settle()
        self._now_s = until_s

    async def _settle(self) -> None:
        for _ in range(_TURNS_PER_DEADLINE):
            await asyncio.sleep(0)
