"""The calls that are up, each in a task of its own, until nothing is left of it."""

import asyncio
import logging
from dataclasses import dataclass, field

from core.leg import CallHandler, EndReason
from core.transports.conversation import converse, either_over
from core.transports.twilio.leg import TwilioLeg
from services.common import correlation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    leg: TwilioLeg
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Calls:
    """By their SID, one leg each."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._group: asyncio.TaskGroup | None = None
        self._handler: CallHandler | None = None

    @property
    def running(self) -> bool:
        """Whether a call can begin."""
        return self._group is not None

    def __len__(self) -> int:
        return len(self._calls)

    def leg(self, call_sid: str) -> TwilioLeg | None:
        call = self._calls.get(call_sid)
        return None if call is None else call.leg

    async def run(self, handler: CallHandler) -> None:
        """Until cancelled: then every call is ended."""
        self._handler = handler
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self._group = None
        finally:
            self._group = None

    def begin(self, leg: TwilioLeg) -> None:
        """A call is offered to the handler. There must not be one of its SID."""
        assert self._group is not None
        call = _Call(leg)
        self._calls[leg.info.call_id] = call
        self._group.create_task(self._run(call))

    async def former_gone(self, call_sid: str, timeout_s: float) -> None:
        """Waits, not for long, for what is left of a call whose leg has ended."""
        call = self._calls.get(call_sid)
        if call is not None and call.leg.over.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await call.gone.wait()
            except TimeoutError:
                _log.warning("the call's former leg is still there")

    async def _run(self, call: _Call) -> None:
        leg, handler = call.leg, self._handler
        assert handler is not None
        correlation.call_id.set(leg.info.call_id)
        try:
            async with asyncio.TaskGroup() as group:
                carrying = group.create_task(leg.carry())
                over = group.create_task(leg.over.wait())
                conversation = group.create_task(converse(handler, leg))
                await either_over(conversation, over)
                over.cancel()
                carrying.cancel()
        except Exception:
            # A call's failure ends that call only.
            _log.exception("call failed")
        finally:
            try:
                await leg.hang_up(EndReason.ERROR)
                await leg.release()
            finally:
                del self._calls[leg.info.call_id]
                call.gone.set()
