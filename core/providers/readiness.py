"""Whether a server that pushes no health would answer: asked now and then, and at once when a request has failed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from core.errors import ProviderError, ProviderRejected

log = logging.getLogger(__name__)

READY_INTERVAL_S = 10.0
AWAY_INTERVAL_S = 1.0


class ReadinessWatch:
    """Asks from `start` to `close`. `ask` takes bounded time; it raises ProviderError where the server is not ready."""

    def __init__(self, provider: str, ask: Callable[[], Awaitable[None]]) -> None:
        self.ready = False
        self._provider = provider
        self._ask = ask
        self._doubted = asyncio.Event()
        self._reason: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name=f"readiness:{self._provider}")

    def doubt(self) -> None:
        """A request failed: asks now."""
        self._doubted.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        while True:
            self._doubted.clear()
            interval_s = AWAY_INTERVAL_S
            try:
                await self._ask()
            except ProviderError as error:
                # A key that is not accepted will not be in a second: whoever locks out those who try on would.
                interval_s = READY_INTERVAL_S if isinstance(error, ProviderRejected) else AWAY_INTERVAL_S
                self._note(str(error))
            except Exception:
                # Whatever it was, the next answer may be another; a watch that has ended would never tell.
                log.exception("readiness not known", extra={"provider": self._provider})
                self._note("not known")
            else:
                interval_s = READY_INTERVAL_S
                self._note("")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._doubted.wait()

    def _note(self, reason: str) -> None:
        """Logs what is new. An empty reason is none against it."""
        self.ready = not reason
        if reason == self._reason:
            return
        self._reason = reason
        if reason:
            log.warning("provider is not ready", extra={"provider": self._provider, "reason": reason})
        else:
            log.info("provider is ready", extra={"provider": self._provider})
