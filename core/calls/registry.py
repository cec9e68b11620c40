"""The calls that are up and those that were: who may join them, and when none is left."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.calls.settings import CallSettings
from core.errors import Busy, Draining
from core.leg import CallLeg, EndReason
from core.observability import metrics
from core.observability.call_record import CallRecord


@dataclass(frozen=True, slots=True)
class ActiveCall:
    """A call that was admitted."""

    leg: CallLeg
    record: CallRecord


class CallRegistry:
    """Admits calls up to the limits, and refuses all once it drains. For use on one event loop."""

    def __init__(self, settings: CallSettings, resident_mb: Callable[[], float]) -> None:
        self._settings = settings
        self._resident_mb = resident_mb
        self._active: dict[str, ActiveCall] = {}
        self._ended: deque[CallRecord] = deque(maxlen=settings.call_history)
        self._none_left = asyncio.Event()
        self._none_left.set()
        self.draining = False

    @property
    def active(self) -> list[ActiveCall]:
        return list(self._active.values())

    @property
    def accepts(self) -> bool:
        """Whether a call that came now would be taken."""
        return not self.draining and len(self._active) < self._settings.max_concurrent_sessions

    def find(self, call_id: str) -> ActiveCall | None:
        return self._active.get(call_id)

    def record(self, call_id: str) -> CallRecord | None:
        """The record of a call that is up, or of one that is still remembered."""
        call = self._active.get(call_id)
        if call is not None:
            return call.record
        return next((record for record in self._ended if record.call_id == call_id), None)

    def recent(self, limit: int) -> list[CallRecord]:
        """The calls that ended last, the latest first."""
        return list(self._ended)[::-1][:limit]

    @contextmanager
    def admitted(self, leg: CallLeg) -> Iterator[ActiveCall]:
        """Holds a place for a call, and remembers it afterwards.

        Raises:
            Draining: the process is ending.
            Busy: as many calls as allowed are up, or memory is short.
        """
        self.check_limits()
        info = leg.info
        call = ActiveCall(leg, CallRecord(info.call_id, info.transport, info.caller, info.called))
        self._active[info.call_id] = call
        self._none_left.clear()
        metrics.ACTIVE_CALLS.set(len(self._active))
        try:
            yield call
        finally:
            del self._active[info.call_id]
            self._ended.append(call.record)
            metrics.ACTIVE_CALLS.set(len(self._active))
            if not self._active:
                self._none_left.set()

    async def none_left(self) -> None:
        """Returns when no call is up."""
        await self._none_left.wait()

    async def hang_up_all(self, reason: EndReason) -> None:
        await asyncio.gather(*(call.leg.hang_up(reason) for call in self.active))

    def check_limits(self) -> None:
        """Whether a call that came now would be taken.

        Raises:
            Draining: the process is ending.
            Busy: as many calls as allowed are up, or memory is short.
        """
        if self.draining:
            raise Draining
        if len(self._active) >= self._settings.max_concurrent_sessions:
            raise Busy
        if self._active and self._resident_mb() > self._settings.memory_limit_mb:
            raise Busy("Not enough memory")
