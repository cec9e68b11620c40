"""A blind transfer: REFER, its reply, and the progress the phone reports (RFC 3515)."""

import asyncio
import logging
import random
import re
from collections.abc import Callable

from core.errors import CallEnded, SignallingError, TransferFailed
from core.transports.opensips.events import UaSessionEvent
from core.transports.opensips.ua_sessions import UaSessions

_log = logging.getLogger(__name__)

_URI = re.compile(r"(?:sips?|tel):[^\s<>\"\x00-\x1f\x7f]{1,250}", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0\s+(\d{3})")
_REQUEST_PENDING = 491
_ATTEMPTS = 3
# The side that did not begin the call waits this long after a 491 (RFC 3261 14.1).
_GLARE_WAIT_MAX_S = 2.0


class Transfer:
    """One transfer, from REFER to its outcome.

    Attributes:
        accepted: the phone has agreed to try; a hang-up of its own now means that it did.
    """

    def __init__(
        self,
        key: str,
        sessions: UaSessions,
        expect_outcome: Callable[[str], "asyncio.Future[UaSessionEvent]"],
        timeout_s: float,
    ) -> None:
        self._key = key
        self._sessions = sessions
        self._expect_outcome = expect_outcome
        self._timeout_s = timeout_s
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.accepted = False

    async def run(self, target: str) -> None:
        """Returns once the phone is connected to the target.

        Raises:
            TransferFailed: the phone refused, failed, or did not say.
            CallEnded: the call ended meanwhile.
        """
        if not _URI.fullmatch(target):
            raise TransferFailed("the target is no sip: or tel: address")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._refer(target)
                self.accepted = True
                status = await self._status
        except TimeoutError as error:
            raise TransferFailed("the phone did not say in time") from error
        except SignallingError as error:
            raise TransferFailed(str(error)) from error
        if status >= 300:
            raise TransferFailed(f"the target answered {status}")

    def notified(self, sipfrag: str, subscription_state: str) -> None:
        """Progress: the first final status decides, or the end of the reports."""
        line = _STATUS_LINE.match(sipfrag.strip())
        status = int(line.group(1)) if line else 0
        ended = subscription_state.partition(";")[0].strip().lower() == "terminated"
        if not self._status.done() and (status >= 200 or ended):
            self._status.set_result(status if status >= 200 else 500)

    def call_ended(self, *, transferred: bool) -> None:
        if transferred and not self._status.done():
            self._status.set_result(200)
        elif not self._status.done():
            self._status.set_exception(CallEnded("the call ended during the transfer"))
            # Nobody awaits it before the phone has replied to the REFER.
            self._status.exception()

    async def _refer(self, target: str) -> None:
        for attempt in range(_ATTEMPTS):
            outcome = self._expect_outcome("REFER")
            await self._sessions.request(self._key, "REFER", headers=[("Refer-To", f"<{target}>")])
            await asyncio.wait({outcome})
            if outcome.cancelled():
                raise CallEnded("the call ended during the transfer")
            reply = outcome.result()
            if reply.status < 300:
                return
            if reply.status != _REQUEST_PENDING or attempt == _ATTEMPTS - 1:
                raise TransferFailed(f"the phone answered {reply.status} {reply.reason}")
            _log.info("transfer met a request of the phone's")
            await asyncio.sleep(random.uniform(0, _GLARE_WAIT_MAX_S))
