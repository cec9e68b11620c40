"""Sessions that OpenSIPS still holds for nobody: freed one by one, again and again until it says they are gone."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from core.errors import SignallingError
from core.transports.opensips.journal import SessionJournal
from core.transports.opensips.ua_sessions import SessionState, UaSessions, started_at_s

_log = logging.getLogger(__name__)

_RETRY_S = 2.0
_ORPHANS_MAX = 10_000
# OpenSIPS crashes when an unanswered session that outlived its timer is touched; config/opensips.cfg gives
# them hours, other scripts perhaps less.
_UNANSWERED_AGE_MAX_S = 1800.0


class Orphans:
    """Keys that were given up, and the work of freeing them.

    Attributes:
        freed: how many OpenSIPS has let go so far.
    """

    def __init__(
        self, sessions: UaSessions, journal: SessionJournal, *, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._sessions = sessions
        self._journal = journal
        self._wall_clock = wall_clock
        self._keys: dict[str, None] = {}
        self._added = asyncio.Event()
        self.freed = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            if len(self._keys) < _ORPHANS_MAX:
                self._keys.setdefault(key)
        self._added.set()

    async def run(self) -> None:
        """Frees what is added, until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            await self.free_all()
            if self._keys:
                await asyncio.sleep(_RETRY_S)
                self._added.set()

    async def free_all(self) -> None:
        """One attempt for each; what fails stays for the next one."""
        for key in list(self._keys):
            try:
                if not await self._too_old_to_touch(key):
                    await self._sessions.let_go(key)
                    self.freed += 1
            except SignallingError:
                continue
            self._done(key)

    async def _too_old_to_touch(self, key: str) -> bool:
        started_s = started_at_s(key)
        if started_s is None or self._wall_clock() - started_s < _UNANSWERED_AGE_MAX_S:
            return False
        if await self._sessions.state(key) not in (SessionState.NEW, SessionState.NEW_AUTHENTICATED):
            return False
        _log.warning("unanswered session is left to opensips", extra={"session_key": key})
        return True

    def _done(self, key: str) -> None:
        self._keys.pop(key, None)
        self._journal.end(key)
