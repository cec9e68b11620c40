"""The life of a process: starting, ready, draining, stopped. SIGTERM drains, a second signal forces.

lifecycle = Lifecycle()
async with lifecycle.signals():
    lifecycle.ready()
    await lifecycle.draining.wait()
    await lifecycle.drain(calls.all_ended(), timeout_s=30)
    lifecycle.stopped()
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

log = logging.getLogger(__name__)


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new work is taken. Where it is not: why, and the command or step that helps, if any."""

    ready: bool
    reason: str = ""
    action: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.reason, self.action)))


class Lifecycle:
    """The one place that knows whether this process takes work.

    Attributes:
        draining: set when the process was asked to end: nothing new is taken, what runs may finish.
        forced: set when it was asked twice: what still runs is cut off.
    """

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.forced = asyncio.Event()
        self._state = State.STARTING
        self._readiness = Readiness(ready=False, reason="starting")
        self._listeners: list[Callable[[], None]] = []

    @property
    def state(self) -> State:
        return self._state

    @property
    def readiness(self) -> Readiness:
        return self._readiness

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls it after each change of state or readiness, on the loop's thread."""
        self._listeners.append(listener)

    def ready(self) -> None:
        """Work is taken from now on; without effect once draining."""
        if self._state in (State.STARTING, State.READY):
            self._change(State.READY, Readiness(ready=True))

    def not_ready(self, reason: str, action: str = "") -> None:
        """Work cannot be done for now; without effect once draining."""
        if self._state in (State.STARTING, State.READY):
            self._change(State.STARTING, Readiness(ready=False, reason=reason, action=action))

    def request_stop(self, cause: str) -> None:
        """The first request drains, a second one forces."""
        if not self.draining.is_set():
            log.info("draining", extra={"cause": cause})
            self._change(State.DRAINING, Readiness(ready=False, reason="shutting down"))
            self.draining.set()
        elif not self.forced.is_set():
            log.warning("forced to stop", extra={"cause": cause})
            self.forced.set()

    def stopped(self) -> None:
        self._change(State.STOPPED, Readiness(ready=False, reason="stopped"))

    async def drain(self, idle: Awaitable[object], *, timeout_s: float) -> bool:
        """Waits for `idle`; whether it completed before the time was over or a second signal came."""
        waiting = asyncio.ensure_future(idle)
        forcing = asyncio.create_task(self.forced.wait())
        try:
            await asyncio.wait({waiting, forcing}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
                return True
            return False
        finally:
            for task in (waiting, forcing):
                task.cancel()
            await asyncio.gather(waiting, forcing, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def signals(self) -> AsyncIterator[None]:
        """Turns SIGTERM and SIGINT into `request_stop`. A third signal ends the process as the system would."""
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT)
        for number in caught:
            loop.add_signal_handler(number, self._on_signal, loop, number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def _on_signal(self, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
        self.request_stop(number.name)
        if self.forced.is_set():
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(each)

    def _change(self, state: State, readiness: Readiness) -> None:
        if (state, readiness) == (self._state, self._readiness):
            return
        self._state, self._readiness = state, readiness
        for listener in self._listeners:
            listener()
