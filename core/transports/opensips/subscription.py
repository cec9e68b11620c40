"""Our place among the subscribers of OpenSIPS' events: kept, made again after a restart, and watched for others."""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import SignallingError
from core.transports.opensips.mi import MiClient

_log = logging.getLogger(__name__)

_EVENT = "E_UA_SESSION"
_RETRY_S = 1.0
_SECONDS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class SubscriptionPolicy:
    """`expire_s` bounds how long OpenSIPS talks to a connector that died."""

    expire_s: int = 10
    refresh_s: float = 3.0
    watch_s: float = 2.0


class Subscription:
    """Keeps OpenSIPS sending events to us.

    Attributes:
        active: OpenSIPS lists us among its subscribers, as far as we know.
        alone: nobody else is listed. Two subscribers would both answer every call.
        restarts: how often OpenSIPS was found to have forgotten us.
    """

    def __init__(
        self,
        mi: MiClient,
        policy: SubscriptionPolicy,
        *,
        event_ip: str,
        event_port: int,
        on_alone: Callable[[], None],
        on_restart: Callable[[], None],
    ) -> None:
        self._mi = mi
        self._policy = policy
        self._event_ip = event_ip
        self._event_port = event_port
        self._on_alone = on_alone
        self._on_restart = on_restart
        self._socket_name = ""
        self._up_since: str | None = None
        self._uptime_s = 0
        self._renew_at_s = 0.0
        self._expires_at_s = 0.0
        self.active = False
        self.alone = False
        self.restarts = 0

    async def run(self) -> None:
        """Subscribes, renews and watches until cancelled. OpenSIPS may start later, and restart."""
        while True:
            try:
                await self.check()
                interval_s = self._policy.watch_s
            except SignallingError as error:
                self._unreachable(error)
                interval_s = _RETRY_S
            await asyncio.sleep(interval_s)

    async def check(self) -> None:
        """One round: is it the same OpenSIPS, is the subscription due, is it ours alone.

        Raises:
            SignallingError: OpenSIPS did not answer, or does not list us.
        """
        was_active, was_alone = self.active, self.active and self.alone
        restarted = self._is_another_opensips(await self._mi.call("uptime", repeatable=True))
        if restarted or not was_active or asyncio.get_running_loop().time() >= self._renew_at_s:
            await self._renew()
        listed = await self._listed()
        if self._socket_name not in listed:
            restarted = restarted or was_active
            await self._renew()
            listed = await self._listed()
        if self._socket_name not in listed:
            self._lost("opensips does not list it")
            raise SignallingError("subscribers_list: not among them")
        self._look_for_others(listed)
        self.active = True
        if restarted:
            self.restarts += 1
            _log.warning("opensips was restarted, or has dropped the subscription")
            self._on_restart()
        if not was_active:
            _log.info("subscribed to opensips", extra={"socket": self._socket_name, "alone": self.alone})
        if self.alone and not was_alone:
            self._on_alone()

    async def end(self) -> None:
        """Asks OpenSIPS to send nothing more; events on their way may still come."""
        if self._socket_name:
            try:
                await self._subscribe(0)
            except SignallingError:
                _log.info("opensips was not told to stop", extra={"socket": self._socket_name})
        self.active = False

    async def _renew(self) -> None:
        await self._subscribe(self._policy.expire_s)
        now_s = asyncio.get_running_loop().time()
        self._renew_at_s = now_s + self._policy.refresh_s
        self._expires_at_s = now_s + self._policy.expire_s

    async def _listed(self) -> set[str]:
        return _subscribers(await self._mi.call("subscribers_list", repeatable=True))

    async def _subscribe(self, expire_s: int) -> None:
        self._socket_name = f"udp:{self._reachable_ip()}:{self._event_port}"
        params = {"event": _EVENT, "socket": self._socket_name, "expire": expire_s}
        await self._mi.call("event_subscribe", params, repeatable=True)

    def _reachable_ip(self) -> str:
        """Where OpenSIPS finds us: the address that our commands come from, unless we are bound to one."""
        if self._event_ip not in ("", "0.0.0.0"):
            return self._event_ip
        return self._mi.local_ip or "127.0.0.1"

    def _is_another_opensips(self, uptime: Any) -> bool:
        fields = uptime if isinstance(uptime, dict) else {}
        up_since = str(fields.get("Up since", ""))
        found = _SECONDS.search(str(fields.get("Up time", "")))
        uptime_s = int(found.group()) if found else 0
        before, before_s = self._up_since, self._uptime_s
        self._up_since, self._uptime_s = up_since, uptime_s
        # The start time alone could be the same second, the uptime alone could have caught up.
        return before is not None and (before != up_since or uptime_s < before_s)

    def _look_for_others(self, listed: set[str]) -> None:
        others = listed - {self._socket_name}
        if others and (self.alone or not self.active):
            _log.error(
                "another connector is subscribed to this opensips: both answer every call",
                extra={"others": sorted(others)},
            )
        self.alone = not others

    def _unreachable(self, error: SignallingError) -> None:
        # Events may still come until the subscription has run out.
        if self.active and asyncio.get_running_loop().time() >= self._expires_at_s:
            self._lost(str(error))

    def _lost(self, reason: str) -> None:
        if self.active:
            _log.warning("subscription to opensips is lost", extra={"reason": reason})
        self.active = False


def _subscribers(listing: Any) -> set[str]:
    """Sockets subscribed to our event."""
    events = listing.get("Events") if isinstance(listing, dict) else None
    found = set()
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("name") == _EVENT:
            subscribers = event.get("Subscribers")
            for each in subscribers if isinstance(subscribers, list) else ():
                if isinstance(each, dict):
                    found.add(str(each.get("socket")))
    return found
