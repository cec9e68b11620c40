"""One UA session of OpenSIPS: its states, transactions and leaks (modules/b2b_entities/dlg.c)."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Protocol

from tools.caller.sip import (
    CANCELING,
    OK,
    OVERLAPPING,
    REQUEST_PENDING,
    REQUEST_TERMINATED,
    REQUEST_TIMEOUT,
    SipReply,
    SipRequest,
)


class SessionState(IntEnum):
    """As `ua_session_list` numbers them."""

    NEW = 1
    CONFIRMED = 4
    ESTABLISHED = 5
    MODIFIED = 6
    TERMINATED = 7


class CommandError(Exception):
    """The session refuses an MI command; MI says 500 whatever the reason was."""


class Transaction:
    """A request of the phone that waits for the connector's reply."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.replied = 0
        self.final: asyncio.Future[SipReply] = asyncio.get_running_loop().create_future()
        self.provisional: list[SipReply] = []

    def reply(self, reply: SipReply) -> None:
        if reply.status < 200:
            self.provisional.append(reply)
        elif not self.final.done():
            self.replied = reply.status
            self.final.set_result(reply)


class Host(Protocol):
    """What a session needs of the OpenSIPS it lives in."""

    report_ack: bool

    def raise_session_event(self, session: "UaSession", event_type: str, method: str, **more: Any) -> None: ...

    def free(self, session: "UaSession") -> None: ...

    def violation(self, what: str) -> None: ...

    def spawn(self, work: Awaitable[None]) -> None: ...


PhoneAnswers = Callable[[SipRequest], Awaitable[SipReply]]


class UaSession:
    """A session between one phone and the connector, as OpenSIPS keeps it."""

    def __init__(self, host: Host, key: str, phone: PhoneAnswers) -> None:
        self.key = key
        self.state = SessionState.NEW
        self.last_reply_code = 0
        self.outlived_its_timer = False
        self.cancelled = False
        self._host = host
        self._phone = phone
        self._uas: Transaction | None = None
        self._update: Transaction | None = None
        self._uac: set[str] = set()

    # What the phone sends.

    def invited(self, body: str | None, headers: str, extra_params: str | None) -> Transaction:
        self._uas = Transaction("INVITE")
        self._host.raise_session_event(self, "NEW", "INVITE", body=body, headers=headers, extra_params=extra_params)
        return self._uas

    def cancel(self, headers: str) -> SipReply:
        """Answered 200 by OpenSIPS, which neither sends 487 nor frees the session."""
        self.state = SessionState.TERMINATED
        self.cancelled = True
        self._host.raise_session_event(self, "TERMINATED", "CANCEL", headers=headers)
        return CANCELING

    def ack(self, body: str | None, headers: str) -> None:
        if self.state is SessionState.ESTABLISHED:
            return  # a retransmission
        self._uas = None
        if self.state is SessionState.CONFIRMED:
            self.state = SessionState.ESTABLISHED
        if self._host.report_ack:
            self._host.raise_session_event(self, "UPDATED", "ACK", body=body, headers=headers)

    def request(self, method: str, body: str | None, headers: str) -> Transaction:
        """An in-dialog request. Its reply may be OpenSIPS' own, the connector's, or none at all."""
        transaction = Transaction(method)
        if self.state < SessionState.CONFIRMED and method != "UPDATE":
            return transaction  # dropped without a word
        if method == "PRACK":
            transaction.reply(OK)
        elif method == "UPDATE":
            self._update = transaction
            self._host.raise_session_event(self, "UPDATED", method, body=body, headers=headers)
        elif self._uac:
            transaction.reply(REQUEST_PENDING)
        elif self._uas is not None and method != "BYE":
            transaction.reply(OVERLAPPING)
        elif method == "BYE":
            self._bye(transaction, headers)
        else:
            self._uas = transaction
            if method == "INVITE":
                self.state = SessionState.MODIFIED
            self._host.raise_session_event(self, "UPDATED", method, body=body, headers=headers)
        return transaction

    def _bye(self, transaction: Transaction, headers: str) -> None:
        open_transaction, self._uas = self._uas, None
        if open_transaction is not None:
            open_transaction.reply(REQUEST_TERMINATED)
        self.state = SessionState.TERMINATED
        self._host.raise_session_event(self, "TERMINATED", "BYE", headers=headers)
        if open_transaction is None:
            # With another transaction open OpenSIPS fails to reply once more, and keeps the session.
            self._host.free(self)
        transaction.reply(OK)

    # What the connector commands.

    def reply(self, method: str, reply: SipReply) -> None:
        transaction = self._update if method == "UPDATE" else self._uas
        if transaction is None:
            if self.last_reply_code == reply.status:
                return  # taken for a retransmission
            raise CommandError("no transaction is saved")
        if transaction.method != method:
            raise CommandError("the pending request has another method")
        if method == "INVITE" and self.state in (SessionState.CONFIRMED, SessionState.ESTABLISHED):
            return  # taken for a retransmission, whatever its status
        if reply.status >= 200:
            if method == "INVITE" and reply.status < 300:
                self.state = SessionState.CONFIRMED
            elif method == "INVITE":
                if self.state is not SessionState.MODIFIED:
                    self.state = SessionState.TERMINATED
                self._uas = None
            elif method == "UPDATE":
                self._update = None
            else:
                self._uas = None
        self.last_reply_code = reply.status
        transaction.reply(reply)

    def update(self, request: SipRequest) -> None:
        """`ua_session_update`: a request of the connector's; its outcome comes as an event."""
        if self.state is SessionState.TERMINATED:
            if request.method == "BYE":
                return  # taken, and nothing is sent
            raise CommandError("the session is terminated")
        if self.state < SessionState.CONFIRMED and request.method not in ("UPDATE", "INVITE"):
            raise CommandError("the session is not established")
        if request.method == "ACK":
            return
        self._uac.add(request.method)
        if request.method == "BYE":
            self.state = SessionState.TERMINATED
        self._host.spawn(self._send(request))

    async def _send(self, request: SipRequest) -> None:
        reply = await self._phone(request)
        self._uac.discard(request.method)
        event_type = "ANSWERED" if reply.status < 300 else "REJECTED"
        self._host.raise_session_event(
            self,
            event_type,
            request.method,
            status=reply.status,
            reason=reply.reason,
            body=reply.body or None,
        )
        if request.method == "BYE":
            self._host.free(self)

    def terminate(self) -> None:
        if self.state < SessionState.CONFIRMED:
            if self.outlived_its_timer:
                self._host.violation("OpenSIPS crashes: an unanswered session outlived its timer")
            raise CommandError("the session is not established")
        if self.outlived_its_timer:
            self._host.violation("OpenSIPS crashes: a session that outlived its timer was terminated")
        if self.state is SessionState.TERMINATED:
            if self._uas is not None:
                self._uas.reply(REQUEST_TIMEOUT)
        else:
            self._host.spawn(self._phone_hears(SipRequest("BYE")))
        self._host.free(self)

    def expire(self) -> None:
        """The `t` timer fires: no event is raised, and an unanswered session stays for ever."""
        if self.state < SessionState.CONFIRMED:
            self.outlived_its_timer = True
            return
        if self.state is not SessionState.TERMINATED:
            self._host.spawn(self._phone_hears(SipRequest("BYE")))
        self._host.free(self)

    async def _phone_hears(self, request: SipRequest) -> None:
        await self._phone(request)
