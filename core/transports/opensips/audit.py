"""Whether OpenSIPS still holds our calls: it tells nobody of its restart, nor of its own timer."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from core.errors import SignallingError
from core.transports.opensips.ua_sessions import UaSessions

_log = logging.getLogger(__name__)

# How often a call without a session is looked at: it ends as soon as its caller has fallen silent.
_LOST_INTERVAL_S = 2.0


class Audited(Protocol):
    """What the audit needs of a call."""

    @property
    def in_call(self) -> bool:
        """Answered, and not yet ending."""

    def packets_received(self) -> int: ...

    def lost(self) -> None:
        """OpenSIPS holds the session no longer, and nobody talks any more."""


class Audit:
    """Asks for every call, one by one: a listing of all does not scale.

    A call whose session is gone goes on for as long as its caller is heard: after a restart of OpenSIPS the
    two can still talk. Nothing will tell of the caller's hang-up, but the end of the audio.
    """

    def __init__(self, sessions: UaSessions, calls: Mapping[str, Audited], interval_s: float) -> None:
        self._sessions = sessions
        self._calls = calls
        self._interval_s = interval_s
        self._lost: dict[str, int] = {}
        self._wanted = asyncio.Event()

    def soon(self) -> None:
        """OpenSIPS was restarted: there is reason to ask at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Audits until cancelled."""
        while True:
            interval_s = min(_LOST_INTERVAL_S, self._interval_s) if self._lost else self._interval_s
            try:
                async with asyncio.timeout(interval_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.check()

    async def check(self) -> None:
        """One round over all calls."""
        self._lost = {key: packets for key, packets in self._lost.items() if key in self._calls}
        for key, call in list(self._calls.items()):
            if not call.in_call:
                continue
            try:
                state = await self._sessions.state(key)
            except SignallingError:
                # OpenSIPS does not answer at all: that says nothing about one call.
                return
            if state is not None:
                self._lost.pop(key, None)
            else:
                self._without_session(key, call)

    def _without_session(self, key: str, call: Audited) -> None:
        packets = call.packets_received()
        if key not in self._lost:
            _log.warning("opensips does not know the session of a call", extra={"session_key": key})
        elif self._lost[key] == packets:
            del self._lost[key]
            call.lost()
            return
        self._lost[key] = packets
