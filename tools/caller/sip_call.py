"""The phone's side of one call: what it sends, what it hears, and how it answers."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tools.caller.sip import ACCEPTED, DOES_NOT_EXIST, OK, REQUEST_TIMEOUT, SipReply, SipRequest, header_lines
from tools.caller.ua_session import Transaction, UaSession

if TYPE_CHECKING:
    from tools.caller.opensips import OpenSipsStandIn

SDP = "application/sdp"
PATIENCE_S = 5.0


class SipCall:
    """One call from the phone.

    Attributes:
        received: every request the connector sent, in order.
        answers: how the phone answers a method; None is no answer at all.
        hung_up: set once the phone heard a BYE.
    """

    def __init__(self, opensips: "OpenSipsStandIn", caller: str, called: str, number: int) -> None:
        self._opensips = opensips
        self._caller = caller
        self._called = called
        self._call_id = f"1-{number}@127.0.0.1"
        self._tag = f"{number}t1"
        self._number = number
        self._cseq = 1
        self._invite: Transaction | None = None
        self._heard = asyncio.Condition()
        self.session: UaSession | None = None
        self.refused: SipReply | None = None
        self.received: list[SipRequest] = []
        self.answers: dict[str, SipReply | None] = {"BYE": OK, "REFER": ACCEPTED}
        self.hung_up = asyncio.Event()

    @property
    def key(self) -> str:
        """OpenSIPS' name of the session, as every event and command carries it."""
        assert self.session is not None, "the script's guard refused the call"
        return self.session.key

    @property
    def provisional(self) -> list[SipReply]:
        """1xx replies to the INVITE so far, OpenSIPS' own 100 left out."""
        return [] if self._invite is None else self._invite.provisional

    def invite(
        self,
        sdp: str | None,
        headers: Iterable[tuple[str, str]],
        extra_params: str | None,
        content_type: str,
    ) -> None:
        """Sends the INVITE."""
        self.session = self._opensips.new_session(self._answer)
        block = self._headers("INVITE", headers, sdp, content_type, in_dialog=False)
        self._invite = self.session.invited(sdp, block, extra_params)

    async def final(self, timeout_s: float = PATIENCE_S) -> SipReply:
        """The final reply to the INVITE.

        Raises:
            TimeoutError: none came. OpenSIPS itself would wait for ever.
        """
        if self._invite is None:
            assert self.refused is not None
            return self.refused
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self._invite.final)

    def ack(self, sdp: str | None = None) -> None:
        if (session := self._known()) is not None:
            session.ack(sdp, self._headers("ACK", (), sdp, SDP))

    async def cancel(self) -> SipReply:
        """Gives up; the reply is the one to the CANCEL, the INVITE's own comes by `final`."""
        session = self._known()
        if session is None:
            return DOES_NOT_EXIST
        return session.cancel(self._headers("CANCEL", (), None, SDP, in_dialog=False))

    async def bye(self) -> SipReply:
        return await self.request("BYE")

    async def reinvite(self, sdp: str | None, headers: Iterable[tuple[str, str]] = ()) -> SipReply:
        """A re-INVITE, with its ACK where it is accepted."""
        reply = await self.request("INVITE", sdp, headers=headers)
        if reply.status < 300:
            self.ack()
        return reply

    async def info(self, body: str, content_type: str = "application/dtmf-relay") -> SipReply:
        return await self.request("INFO", body, content_type)

    async def refer(self, target: str) -> SipReply:
        return await self.request("REFER", headers=[("Refer-To", target)])

    async def notify(self, sipfrag: str, subscription_state: str = "active;expires=60") -> SipReply:
        """Progress of a REFER the connector sent (RFC 3515)."""
        headers = [("Event", "refer"), ("Subscription-State", subscription_state)]
        return await self.request("NOTIFY", sipfrag, "message/sipfrag;version=2.0", headers)

    async def request(
        self,
        method: str,
        body: str | None = None,
        content_type: str = SDP,
        headers: Iterable[tuple[str, str]] = (),
        *,
        timeout_s: float | None = None,
    ) -> SipReply:
        """Any in-dialog request; 408 is the phone's own verdict when nobody answers."""
        self._cseq += 1
        block = self._headers(method, headers, body, content_type)
        session = self._known()
        if session is None:
            # OpenSIPS' own answers where it does not know the session, as after its restart.
            return OK if method == "BYE" else DOES_NOT_EXIST
        transaction = session.request(method, body, block)
        try:
            async with asyncio.timeout(self._opensips.sip_timeout_s if timeout_s is None else timeout_s):
                return await transaction.final
        except TimeoutError:
            return REQUEST_TIMEOUT

    async def next_request(self, method: str, timeout_s: float = PATIENCE_S) -> SipRequest:
        """The first request of that method from the connector, now or later.

        Raises:
            TimeoutError: none came.
        """
        async with asyncio.timeout(timeout_s), self._heard:
            while True:
                for request in self.received:
                    if request.method == method:
                        return request
                await self._heard.wait()

    async def _answer(self, request: SipRequest) -> SipReply:
        async with self._heard:
            self.received.append(request)
            self._heard.notify_all()
        if request.method == "BYE":
            self.hung_up.set()
        reply = self.answers.get(request.method, OK)
        if reply is not None:
            return reply
        await asyncio.sleep(self._opensips.sip_timeout_s)
        return REQUEST_TIMEOUT

    def _known(self) -> UaSession | None:
        return None if self.session is None else self._opensips.sessions.get(self.session.key)

    def _headers(
        self,
        method: str,
        more: Iterable[tuple[str, str]],
        body: str | None,
        content_type: str,
        *,
        in_dialog: bool = True,
    ) -> str:
        number, to_tag = self._number, f";tag={self.key}" if in_dialog else ""
        cseq = 1 if method in ("ACK", "CANCEL") and self._cseq == 1 else self._cseq
        lines = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:15070;branch=z9hG4bK-{number}-{cseq}-0"),
            ("From", f'"{self._caller}" <sip:{self._caller}@127.0.0.1:15070>;tag={self._tag}'),
            ("To", f"<sip:{self._called}@127.0.0.1:15060>{to_tag}"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:{self._caller}@127.0.0.1:15070>"),
            ("Max-Forwards", "69"),
        ]
        # A header the test gives replaces the phone's own of that name.
        given = list(more)
        names = {name.lower() for name, _ in given}
        lines = [(name, value) for name, value in lines if name.lower() not in names] + given
        if body and "content-type" not in names:
            lines.append(("Content-Type", content_type))
        lines.append(("Content-Length", f"  {len((body or '').encode('utf-8', 'surrogateescape'))}"))
        return header_lines(lines)
