"""What one provider yields for one request, read under a deadline, and left behind without waiting for it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from core.errors import ProviderTimeout
from core.providers.member import Member

log = logging.getLogger(__name__)

# A provider that does not stop sooner is left to its own timeout.
STOP_TIMEOUT_S = 1.0

T = TypeVar("T")


class Leaving:
    """The work of providers that nobody waits for any more, until it has stopped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self, task: asyncio.Task[None]) -> None:
        """Stops it in the background."""
        if not task.done():
            task.cancel()
            self.watch(task)

    def watch(self, task: asyncio.Task[None]) -> None:
        """It stops by itself, in bounded time."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stopped(self) -> None:
        """Waits for what is still stopping, but not for long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)


class Supply(Generic[T]):
    """One request to one member, which is told how it went.

    The provider works in a task of its own, at most two pieces ahead: so that one that cannot be stopped holds up
    nobody, and its generator runs in one context from beginning to end.
    """

    def __init__(self, member: Member[Any], pieces: AsyncGenerator[T, None], leaving: Leaving) -> None:
        self._provider = member.provider.name
        self._leaving = leaving
        self._pieces: asyncio.Queue[T | Exception | None] = asyncio.Queue(1)
        self._delivered = False
        self._left = False
        self._trial = member.breaker.began()
        self._task = asyncio.get_running_loop().create_task(self._read(pieces), name=f"provider:{member.provider.name}")

    async def next(self, wait_s: float | None) -> T | None:
        """The next piece; None at the end.

        Raises:
            ProviderError: it failed; ProviderTimeout where nothing came within `wait_s`. The next may take over.
            ValueError: no provider could serve the request.
        """
        try:
            async with asyncio.timeout(wait_s):
                piece = await self._pieces.get()
        except TimeoutError:
            piece = ProviderTimeout(self._provider, f"nothing came within {wait_s or 0:.3g} s")
        except asyncio.CancelledError:
            self._trial.abandoned()
            raise
        if piece is None:
            self._trial.succeeded()
            return None
        if isinstance(piece, Exception):
            self._trial.failed(piece)
            raise piece
        self._delivered = True
        return piece

    def leave(self) -> None:
        """Nothing more is wanted: the work stops in the background."""
        if self._left:
            return
        self._left = True
        if self._delivered:
            # Enough was had of it: it was well as far as it was heard.
            self._trial.succeeded()
        else:
            self._trial.abandoned()
        self._leaving.stop(self._task)

    async def close(self) -> None:
        """Nothing more is wanted: returns when the work has stopped, unless it was left to stop before."""
        if not self._left:
            self.leave()
            await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)

    async def _read(self, pieces: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await self._pieces.put(piece)
            await self._pieces.put(None)
        except TimeoutError:
            await self._fail(ProviderTimeout(self._provider, "it timed out"))
        except Exception as error:
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        if self._trial.settled:
            # Nobody reads it any more.
            log.debug("provider failed as it was stopped", extra={"error": type(error).__name__})
        else:
            await self._pieces.put(error)
