"""The SIP dialog of one call, as the events and commands of its UA session (RFC 3261 12, 13, 15).

Whatever happens, the caller gets a final reply to every request and OpenSIPS frees the session: it does
neither by itself.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from core.errors import CallEnded, OfferRejected, SignallingError, SignallingRefused, SignallingTimeout
from core.leg import EndReason
from core.transports.opensips import requests
from core.transports.opensips.events import UaSessionEvent
from core.transports.opensips.orphans import Orphans
from core.transports.opensips.outcomes import Outcomes
from core.transports.opensips.release import Closing, Release
from core.transports.opensips.sip import cseq_number, parse_address
from core.transports.opensips.transfer import Transfer
from core.transports.opensips.ua_sessions import Headers, SessionState, UaSessions

_log = logging.getLogger(__name__)

# 64*T1: for so long OpenSIPS repeats a 200 that has seen no ACK (RFC 3261 13.3.1.4).
ACK_TIMEOUT_S = 32.0
_REQUESTS_WAITING_MAX = 32


class DialogState(Enum):
    """Where the INVITE stands."""

    OFFERED = auto()
    ANSWERING = auto()
    ANSWERED = auto()
    CONFIRMED = auto()
    ENDED = auto()


class DialogUser(Protocol):
    """Whose signalling it is. Called on the event loop; none of these may wait."""

    def offered(self, sdp: str) -> str:
        """A later offer; returns the answer.

        Raises:
            OfferRejected: what was agreed on before stays in force.
        """

    def offer(self) -> str:
        """Our offer, for a later INVITE without one."""

    def answered(self, sdp: str) -> None:
        """The caller's answer to our offer.

        Raises:
            OfferRejected: it cannot be used.
        """

    def confirmed(self) -> None:
        """The caller has our answer."""

    def digit(self, digit: str) -> None:
        """A key press that came as a message."""

    def ended(self, reason: EndReason, detail: str) -> None:
        """Comes once, and last."""


@dataclass(slots=True)
class DialogCounters:
    """Events that changed nothing."""

    duplicates: int = 0
    overflows: int = 0
    unexpected: int = 0


class Dialog:
    """One session's signalling. `serve` must run for as long as the dialog lives, in a task of its own."""

    def __init__(
        self,
        invite: UaSessionEvent,
        sessions: UaSessions,
        orphans: Orphans,
        user: DialogUser,
        *,
        answer_timeout_s: float,
        transfer_timeout_s: float,
    ) -> None:
        self.key = invite.key
        self.state = DialogState.OFFERED
        self.counters = DialogCounters()
        self.released = False
        self._sessions = sessions
        self._orphans = orphans
        self._user = user
        self._transfer_timeout_s = transfer_timeout_s
        self._last_cseq = cseq_number(invite.headers)
        self._waiting: deque[UaSessionEvent] = deque()
        # Requests of the caller's that OpenSIPS has seen no end of: no reply of ours, or no ACK to it.
        self._open_requests: set[str] = set()
        self._changed = asyncio.Event()
        self._cancelled = False
        self._awaiting_answer: int | None = None
        self._outcomes = Outcomes()
        self._release = Release(self.key, sessions, self._outcomes)
        self._transfer: Transfer | None = None
        self._closing: Closing | None = None
        self._deadline_s: float | None = asyncio.get_running_loop().time() + answer_timeout_s

    # What the conversation asks for.

    async def ring(self) -> None:
        """180 Ringing. Never raises: the call goes on without it."""
        if self.state is DialogState.OFFERED:
            try:
                await self._sessions.reply(self.key, "INVITE", 180, "Ringing")
            except SignallingError as error:
                _log.info("ringing was not sent", extra={"reason": str(error)})

    async def accept(self, sdp: str, *, is_offer: bool) -> None:
        """200 OK. With our own offer in it, returns once the caller's answer has come by ACK.

        Raises:
            CallEnded: the caller gave up first.
            SignallingError: OpenSIPS did not take it.
        """
        if self.state is not DialogState.OFFERED:
            raise CallEnded(f"the call is {self.state.name.lower()}")
        self.state = DialogState.ANSWERING
        self._awaiting_answer = self._last_cseq or 0 if is_offer else None
        try:
            await self._sessions.reply(self.key, "INVITE", 200, "OK", sdp=sdp)
        except SignallingError as error:
            # With an ACK to it the answer has arrived, whatever became of the command's own reply.
            if not self._release.acknowledged.is_set():
                self._answer_failed(error)
                raise
        except asyncio.CancelledError:
            self._end(EndReason.ERROR, "answering was cancelled", Closing.UNKNOWN)
            raise
        self._answer_taken()
        if is_offer and self._closing is None:
            await self._first_answer()
        if self._closing is not None:
            raise CallEnded("the caller gave up")

    def refuse(self, status: int, reason: str, headers: Headers = (), *, end: EndReason, detail: str = "") -> None:
        """A final reply of 300 or more, sent by `serve`."""
        if self.state is DialogState.OFFERED:
            self._release.refusal = (status, reason, headers)
            self._end(end, detail or f"{status} {reason}", Closing.REFUSE)
        else:
            self.hang_up(end, detail)

    def hang_up(self, reason: EndReason, detail: str = "") -> None:
        """Ends the dialog as its state asks for; the rest is done by `serve`."""
        if self.state is DialogState.OFFERED:
            self._release.refusal = (480, "Temporarily Unavailable", ())
            self._end(reason, detail, Closing.REFUSE)
        elif self.state is DialogState.ANSWERING:
            self._end(reason, detail, Closing.UNKNOWN)
        else:
            self._end(reason, detail, Closing.BYE)

    def lost(self) -> None:
        """OpenSIPS holds the session no longer: there is nobody to talk to about it."""
        self._end(EndReason.SIGNALLING_LOST, "opensips does not know the session", Closing.NOTHING)

    async def transfer(self, target: str) -> None:
        """Asks the phone to call somebody else (RFC 3515), and hangs up once it has done so.

        Raises:
            TransferFailed: the phone refused, failed, or did not say.
            CallEnded: the call ended meanwhile.
        """
        if self._closing is not None or self.state not in (DialogState.ANSWERED, DialogState.CONFIRMED):
            raise CallEnded("there is no call to transfer")
        transfer = Transfer(self.key, self._sessions, self._outcomes.expect, self._transfer_timeout_s)
        self._transfer = transfer
        try:
            await transfer.run(target)
        finally:
            self._transfer = None
        if self._closing is None:
            self._end(EndReason.TRANSFERRED, "", Closing.BYE)

    # What OpenSIPS tells.

    def deliver(self, event: UaSessionEvent) -> None:
        """Takes an event of this session, in any order, any number of times. Never raises."""
        if event.status >= 200:
            self.counters.duplicates += not self._outcomes.resolve(event)
        elif event.status or event.event_type in ("NEW", "EARLY"):
            self.counters.duplicates += event.event_type == "NEW"
        elif event.event_type == "TERMINATED":
            self._terminated(event)
        elif event.method == "ACK":
            self._acknowledged(event)
        elif event.event_type == "UPDATED" and event.method:
            self._requested(event)
        else:
            self.counters.unexpected += 1

    async def serve(self) -> None:
        """Replies to the caller's requests in order, and at the end sees to it that the session is freed."""
        while self._closing is None:
            self._changed.clear()
            if self._waiting:
                await self._reply_to(self._waiting.popleft())
                continue
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    await self._changed.wait()
            except TimeoutError:
                await self._deadline_passed()
        try:
            await self._refuse_waiting()
            await self._release.run(self._closing)
            self.released = True
        except SignallingError as error:
            _log.warning("session is left to be freed later", extra={"reason": str(error)})
        finally:
            if not self.released:
                self._orphans.add([self.key])

    # The INVITE.

    def _answer_taken(self) -> None:
        if self._closing is not None:
            return
        if self._cancelled:
            self._end(EndReason.CALLER_CANCELLED, "cancelled while answered", Closing.WAIT_FOR_BYE)
        elif self._release.acknowledged.is_set():
            self._set_confirmed()
        else:
            self.state = DialogState.ANSWERED
            self._set_deadline(ACK_TIMEOUT_S)

    def _answer_failed(self, error: SignallingError) -> None:
        if self._closing is not None:
            return
        if self._cancelled:
            self._end(EndReason.CALLER_CANCELLED, "", Closing.REFUSE)
            if isinstance(error, SignallingRefused):
                raise CallEnded("the caller gave up") from error
        self._end(EndReason.SIGNALLING_LOST, str(error), Closing.UNKNOWN)

    async def _first_answer(self) -> None:
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await self._release.acknowledged.wait()
        except TimeoutError as error:
            self._end(EndReason.SIGNALLING_LOST, "no answer to our offer in an ACK", Closing.BYE)
            raise SignallingTimeout("no answer to our offer; the script needs flag `a`") from error

    def _acknowledged(self, event: UaSessionEvent) -> None:
        if self.state is DialogState.OFFERED:
            self.counters.unexpected += 1
            return
        self._open_requests.discard("INVITE")
        if self.state is DialogState.ENDED:
            self._release.acknowledged.set()
            return
        first = not self._release.acknowledged.is_set()
        self.counters.duplicates += not first and self._awaiting_answer is None
        cseq = cseq_number(event.headers)
        if self._awaiting_answer is not None and cseq in (None, self._awaiting_answer):
            self._awaiting_answer = None
            try:
                self._user.answered(event.body)
            except OfferRejected as error:
                # An ACK has no reply: all that is left is to hang up.
                self._release.acknowledged.set()
                self._end(EndReason.ERROR, f"unusable answer: {error.reason}", Closing.BYE)
                return
        self._release.acknowledged.set()
        if first and self.state is DialogState.ANSWERED:
            self._set_confirmed()
        elif first:
            self._user.confirmed()

    def _set_confirmed(self) -> None:
        self.state = DialogState.CONFIRMED
        self._set_deadline(None)
        self._user.confirmed()

    def _terminated(self, event: UaSessionEvent) -> None:
        if event.method == "CANCEL":
            self._cancel(event)
            return
        self._outcomes.forget()
        # A phone that has agreed to a transfer and then hangs up has gone where it was sent.
        transferred = self._transfer is not None and self._transfer.accepted
        reason = EndReason.TRANSFERRED if transferred else EndReason.CALLER_HUNG_UP
        # With the BYE OpenSIPS has freed the session, unless another transaction was open: then it forgets to.
        self._release.bye_seen.set()
        self._release.freed = event.method == "BYE" and self._release.acknowledged.is_set() and not self._open_requests
        closing = Closing.NOTHING if self._release.freed else Closing.UNKNOWN
        self._end(reason, "", closing)

    def _cancel(self, event: UaSessionEvent) -> None:
        if self.state is DialogState.ENDED:
            self.counters.duplicates += 1
        elif parse_address(event.headers.get("to", "")).tag:
            # It takes back a re-INVITE, which by now has its answer; the call goes on (RFC 3261 9.2).
            self.counters.unexpected += 1
        elif self.state is DialogState.OFFERED:
            self._release.refusal = (487, "Request Terminated", ())
            self._end(EndReason.CALLER_CANCELLED, "", Closing.REFUSE)
        elif self.state is DialogState.ANSWERING:
            # It depends on which of the two OpenSIPS saw first.
            self._cancelled = True
        else:
            self._end(EndReason.CALLER_CANCELLED, "cancelled while answered", Closing.WAIT_FOR_BYE)

    async def _deadline_passed(self) -> None:
        if self.state is DialogState.OFFERED:
            self._release.refusal = (503, "Not answered in time", (("Retry-After", "10"),))
            self._end(EndReason.ERROR, "not answered in time", Closing.REFUSE)
            return
        if self.state is not DialogState.ANSWERED:
            self._deadline_s = None
            return
        try:
            state = await self._sessions.state(self.key)
        except SignallingError:
            self._set_deadline(ACK_TIMEOUT_S)
            return
        if self.state is not DialogState.ANSWERED:
            return
        if state is None:
            self.lost()
        elif state == SessionState.CONFIRMED:
            self._end(EndReason.SIGNALLING_LOST, "the answer was never acknowledged", Closing.BYE)
        else:
            self._release.acknowledged.set()
            self._set_confirmed()

    # Requests within the dialog.

    def _requested(self, event: UaSessionEvent) -> None:
        cseq = cseq_number(event.headers)
        if cseq is not None and self._last_cseq is not None and cseq <= self._last_cseq:
            self.counters.duplicates += 1
            return
        if self.state is DialogState.ENDED or len(self._waiting) >= _REQUESTS_WAITING_MAX:
            # OpenSIPS lets a second request wait for no first one: so many never come from a caller.
            self.counters.overflows += 1
            return
        self._last_cseq = cseq if cseq is not None else self._last_cseq
        self._open_requests.add(event.method)
        self._waiting.append(event)
        self._changed.set()

    async def _reply_to(self, request: UaSessionEvent) -> None:
        reply = requests.reply_to(request, self._user, self._transfer, answered=self.state is not DialogState.OFFERED)
        if reply.is_offer:
            self._awaiting_answer = self._last_cseq or 0
        try:
            await self._sessions.reply(
                self.key, request.method, reply.status, reply.reason, sdp=reply.sdp, headers=reply.headers
            )
        except SignallingError as error:
            # The request is gone, or OpenSIPS is; the call may live on.
            _log.info("reply was not taken", extra={"method": request.method, "reason": str(error)})
            return
        if request.method != "INVITE":
            self._open_requests.discard(request.method)

    # The end.

    def _end(self, reason: EndReason, detail: str, closing: Closing) -> None:
        if self._closing is not None:
            return
        self._closing = closing
        self._release.reason = detail or reason.value
        self.state = DialogState.ENDED
        self._changed.set()
        if self._transfer is not None:
            self._transfer.call_ended(transferred=reason is EndReason.TRANSFERRED)
        self._user.ended(reason, detail)

    async def _refuse_waiting(self) -> None:
        """Requests that came too late to be done."""
        if self._closing is Closing.NOTHING:
            return
        for request in self._waiting:
            with contextlib.suppress(SignallingRefused):
                await self._sessions.reply(self.key, request.method, 481, "Call/Transaction Does Not Exist")

    def _set_deadline(self, after_s: float | None) -> None:
        self._deadline_s = None if after_s is None else asyncio.get_running_loop().time() + after_s
        self._changed.set()
