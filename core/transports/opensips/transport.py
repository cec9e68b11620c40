"""The transport: events in, dialogs by their keys, one TaskGroup a call, and an orderly end."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from core.errors import Draining, SignallingError
from core.leg import CallHandler, EndReason
from core.media.plane import MediaPlane
from core.transports.conversation import converse, either_over
from core.transports.opensips.audit import Audit
from core.transports.opensips.dialog import Dialog
from core.transports.opensips.events import EventSocket, UaSessionEvent
from core.transports.opensips.journal import SessionJournal
from core.transports.opensips.leg import LocalSide, OpenSipsLeg
from core.transports.opensips.mi import MiAddress, MiClient
from core.transports.opensips.orphans import Orphans
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.opensips.subscription import Subscription, SubscriptionPolicy
from core.transports.opensips.ua_sessions import UaSessions
from services.common import correlation

_log = logging.getLogger(__name__)

# Late copies of an event must not begin a call that has ended: its key is remembered this long.
_REMEMBERED_S = 64.0
_REMEMBERED_MAX = 10_000
# An event of a session in a listing may still be on its way to us.
_EVENT_TRAVEL_S = 1.0
_DISOWNING_MAX = 64


@dataclass(slots=True)
class TransportCounters:
    """What came in. `ignored` were events of sessions that are nobody's, or another connector's."""

    calls: int = 0
    duplicates: int = 0
    orphaned: int = 0
    ignored: int = 0


class OpenSipsTransport:
    """Calls through one OpenSIPS.

    Attributes:
        event_port: where events arrive, once `run` has begun.
    """

    name = "opensips"
    routes: Sequence[web.AbstractRouteDef] = ()

    def __init__(self, settings: OpenSipsSettings, plane: MediaPlane) -> None:
        self._settings = settings
        self._plane = plane
        self.mi = MiClient(
            MiAddress(settings.mi_ip, settings.mi_port, settings.mi_socket), timeout_s=settings.mi_timeout_s
        )
        self._sessions = UaSessions(self.mi)
        self._journal = SessionJournal(Path(settings.session_journal) if settings.session_journal else None)
        self.orphans = Orphans(self._sessions, self._journal)
        self.events = EventSocket(self._on_event)
        self._local = LocalSide(settings.advertised_ip, settings.codecs)
        self._legs: dict[str, OpenSipsLeg] = {}
        self._disowning = 0
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._group: asyncio.TaskGroup | None = None
        self._handler: CallHandler | None = None
        self._idle = asyncio.Event()
        self._subscription: Subscription | None = None
        self._audit = Audit(self._sessions, self._legs, settings.audit_interval_s)
        self._draining = False
        self.counters = TransportCounters()
        self.event_port = 0

    @property
    def ready(self) -> bool:
        return not self._draining and self._subscription is not None and self._subscription.active

    @property
    def calls(self) -> int:
        """Dialogs that OpenSIPS has not let go of yet."""
        return len(self._legs)

    async def drain(self) -> None:
        # The subscription stays: without it the calls that are up would never be told of their end.
        self._draining = True

    async def run(self, handler: CallHandler) -> None:
        settings = self._settings
        self._handler = handler
        left = self._journal.open()
        self.event_port = self.events.open(settings.event_ip, settings.event_port)
        policy = SubscriptionPolicy(
            settings.subscription_expire_s, settings.subscription_refresh_s, settings.watch_interval_s
        )
        subscription = Subscription(
            self.mi,
            policy,
            event_ip=settings.event_ip,
            event_port=self.event_port,
            on_alone=lambda: self._spawn(self._find_orphans(left)),
            on_restart=self._audit.soon,
        )
        self._subscription = subscription
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                watchers = [group.create_task(each.run()) for each in (subscription, self._audit, self.orphans)]
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    await self._end_calls()
                    for watcher in watchers:
                        watcher.cancel()
                    await subscription.end()
        finally:
            self._group = None
            self.events.close()
            self.mi.close()
            self._journal.close()

    # Calls.

    def _on_event(self, event: UaSessionEvent) -> None:
        leg = self._legs.get(event.key)
        if leg is not None:
            leg.dialog.deliver(event)
        elif event.key in self._ended:
            self.counters.duplicates += 1
        elif event.event_type == "NEW" and event.method == "INVITE":
            self._begin(event)
        else:
            self._orphaned(event)

    def _begin(self, invite: UaSessionEvent) -> None:
        """Nothing slow happens here: the caller hears nothing before the reply."""
        leg = OpenSipsLeg(invite, self._plane, self._local)
        dialog = Dialog(
            invite,
            self._sessions,
            self.orphans,
            leg,
            answer_timeout_s=self._settings.answer_timeout_s,
            transfer_timeout_s=self._settings.transfer_timeout_s,
        )
        leg.dialog = dialog
        self._legs[dialog.key] = leg
        self.counters.calls += 1
        self._journal.begin(dialog.key)
        self._spawn(self._run_call(leg))

    async def _run_call(self, leg: OpenSipsLeg) -> None:
        dialog = leg.dialog
        correlation.call_id.set(leg.info.call_id)
        try:
            async with asyncio.TaskGroup() as call:
                serving = call.create_task(dialog.serve())
                conversation = call.create_task(converse(self._take, leg))
                await either_over(conversation, serving)
        except Exception:
            # A call's failure ends that call only.
            _log.exception("call failed")
        finally:
            if dialog.released:
                self._journal.end(dialog.key)
            else:
                self._sessions.post_terminate(dialog.key)
                self.orphans.add([dialog.key])
            self._forget(dialog.key)

    async def _take(self, leg: OpenSipsLeg) -> None:
        if self._draining:
            raise Draining
        if self._settings.ringing:
            await leg.dialog.ring()
        assert self._handler is not None
        await self._handler(leg)

    def _forget(self, key: str) -> None:
        del self._legs[key]
        if not self._legs:
            self._idle.set()
        now_s = asyncio.get_running_loop().time()
        self._ended[key] = now_s
        while self._ended:
            oldest, ended_s = next(iter(self._ended.items()))
            if now_s - ended_s < _REMEMBERED_S and len(self._ended) <= _REMEMBERED_MAX:
                return
            del self._ended[oldest]

    # Sessions of nobody.

    def _orphaned(self, event: UaSessionEvent) -> None:
        """An event of a session that we do not hold: before our restart we did, or its NEW is still to come."""
        if self._subscription is None or not self._subscription.alone:
            # Another connector's call must not be ended by us.
            self.counters.ignored += 1
        elif event.event_type == "TERMINATED" and event.method == "CANCEL":
            self._disown(event, 487, "Request Terminated")
        elif event.event_type == "UPDATED" and not event.status and event.method not in ("", "ACK"):
            self._disown(event, 481, "Call/Transaction Does Not Exist")
        elif event.event_type == "UPDATED" and event.method == "ACK":
            self._disown(event, 0, "")
        else:
            self.counters.ignored += 1

    def _disown(self, event: UaSessionEvent, status: int, reason: str) -> None:
        if self._disowning >= _DISOWNING_MAX:
            self.counters.ignored += 1
            return
        self.counters.orphaned += 1
        # Should its NEW come after its CANCEL, there is nobody left to talk to.
        self._ended[event.key] = asyncio.get_running_loop().time()
        if len(self._ended) > _REMEMBERED_MAX:
            self._ended.popitem(last=False)
        method = "INVITE" if event.method == "CANCEL" else event.method
        self._spawn(self._refuse_orphan(event.key, method, status, reason))

    async def _refuse_orphan(self, key: str, method: str, status: int, reason: str) -> None:
        self._disowning += 1
        try:
            if status:
                await self._sessions.reply(key, method, status, reason)
        except SignallingError as error:
            _log.info("orphaned request was not refused", extra={"method": method, "reason": str(error)})
        finally:
            self._disowning -= 1
            self.orphans.add([key])

    async def _find_orphans(self, left: set[str]) -> None:
        """What OpenSIPS still holds of a predecessor that crashed. Its callers talk to nobody."""
        subscription = self._subscription
        if subscription is None or not subscription.alone:
            return
        try:
            listed = set(await self._sessions.keys())
        except SignallingError as error:
            # Too many sessions for one reply: the journal knows those that matter.
            _log.info("sessions were not listed", extra={"reason": str(error)})
            listed = set()
        await asyncio.sleep(_EVENT_TRAVEL_S)
        if not subscription.alone:
            return
        nobodys = {key for key in left | listed if key not in self._legs and key not in self._ended}
        left.clear()
        if nobodys:
            _log.warning("ending sessions of a predecessor", extra={"sessions": len(nobodys)})
            self.orphans.add(nobodys)

    # The end.

    async def _end_calls(self) -> None:
        """Ends what is up, politely and not for long."""
        self._draining = True
        if not self._legs:
            return
        self._idle.clear()
        for leg in list(self._legs.values()):
            leg.dialog.hang_up(EndReason.DRAINED, "shutting down")
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout_s):
                await self._idle.wait()
                await self.orphans.free_all()
        except TimeoutError:
            _log.warning("calls did not end in time", extra={"calls": len(self._legs)})

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work)
