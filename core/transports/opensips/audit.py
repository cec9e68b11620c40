"""Whether OpenSIPS still holds our calls: it tells nobody of its restart, nor of its own timer."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from core.errors import SignallingError
from core.transports.opensips.ua_sessions import UaSessions

_log = logging.getLogger(__name__)

# Silence of the caller that ends a call without a session, which is looked at as often.
_SILENCE_S = 2.0


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
        # Packets of each call without a session, and since when there have been no more.
        self._lost: dict[str, tuple[int, float]] = {}
        self._wanted = asyncio.Event()

    def soon(self) -> None:
        """OpenSIPS was restarted: there is reason to ask at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Audits until cancelled."""
        while True:
            interval_s = min(_SILENCE_S, self._interval_s) if self._lost else self._interval_s
            try:
                async with asyncio.timeout(interval_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.check()

    async def check(self) -> None:
        """One round over all calls."""
        self._lost = {key: heard for key, heard in self._lost.items() if key in self._calls}
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
        before, since_s = self._lost.get(key, (-1, 0.0))
        if packets != before:
            self._lost[key] = (packets, _now_s())
        elif _now_s() - since_s >= _SILENCE_S:
            del self._lost[key]
            call.lost()


def _now_s() -> float:
    return time.monotonic()
