"""How OpenSIPS is made to free a session; by itself it does so only when the caller hangs up (modules/b2b_entities)."""

import asyncio
import contextlib
import logging
from enum import Enum, auto

from core.errors import SignallingError, SignallingRefused
from core.transports.opensips.outcomes import Outcomes
from core.transports.opensips.ua_sessions import Headers, UaSessions

_log = logging.getLogger(__name__)

# A BYE may only follow the ACK (RFC 3261 15), which scripts without flag `a` do not report.
_ACK_BEFORE_BYE_S = 1.0
# After CANCEL and 200 have crossed, the caller acknowledges and hangs up (RFC 3261 9.1).
_BYE_AFTER_CANCEL_S = 2.0
_BYE_OUTCOME_S = 5.0
_NOT_IN_QUOTES = str.maketrans('"\\', "''")


class Closing(Enum):
    """What is left to be done for a session that has ended."""

    NOTHING = auto()
    REFUSE = auto()
    WAIT_FOR_BYE = auto()
    BYE = auto()
    UNKNOWN = auto()


class Release:
    """The end of one session.

    Attributes:
        acknowledged: the ACK to our answer has come.
        bye_seen: the caller has hung up.
        freed: and OpenSIPS has freed the session with that.
        refusal: the final reply for `Closing.REFUSE`.
        reason: the text that goes out with a BYE.
    """

    def __init__(self, key: str, sessions: UaSessions, outcomes: Outcomes) -> None:
        self._key = key
        self._sessions = sessions
        self._outcomes = outcomes
        self.acknowledged = asyncio.Event()
        self.bye_seen = asyncio.Event()
        self.freed = False
        self.refusal: tuple[int, str, Headers] = (487, "Request Terminated", ())
        self.reason = ""

    async def run(self, closing: Closing) -> None:
        """Returns once the session is free.

        Raises:
            SignallingError: it is not known to be.
        """
        match closing:
            case Closing.REFUSE:
                await self._refuse()
            case Closing.WAIT_FOR_BYE:
                await _within(self.bye_seen, _BYE_AFTER_CANCEL_S)
                if not self.freed:
                    await self._sessions.let_go(self._key, 487, "Request Terminated")
            case Closing.BYE:
                await self._hang_up()
            case Closing.UNKNOWN:
                await self._sessions.let_go(self._key)

    async def _refuse(self) -> None:
        status, reason, headers = self.refusal
        try:
            await self._sessions.reply(self._key, "INVITE", status, reason, headers=headers)
        except SignallingRefused:
            # Replied to before, cancelled and timed out, or unknown: `let_go` finds out.
            _log.info("refusal was not taken", extra={"status": status})
        await self._sessions.let_go(self._key, status, reason)

    async def _hang_up(self) -> None:
        """`ua_session_update`, not `ua_session_terminate`: it carries a reason, and its outcome is reported."""
        await _within(self.acknowledged, _ACK_BEFORE_BYE_S)
        outcome = self._outcomes.expect("BYE")
        cause = f'SIP;cause=200;text="{self.reason.translate(_NOT_IN_QUOTES)}"'
        if not self.bye_seen.is_set():
            try:
                await self._sessions.request(self._key, "BYE", headers=[("Reason", cause)])
                await asyncio.wait({outcome}, timeout=_BYE_OUTCOME_S)
            except SignallingError as error:
                _log.info("hang-up was not taken", extra={"reason": str(error)})
        taken = outcome.done() and not outcome.cancelled() and outcome.result().status < 300
        if not taken and not self.freed:
            await self._sessions.let_go(self._key)


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
