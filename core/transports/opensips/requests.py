"""The reply to each request within a call: every one gets a final reply, at once (RFC 3261 8.2, 12.2.2)."""

import re
from dataclasses import dataclass, replace
from typing import Protocol

from core.errors import OfferRejected
from core.sdp.body import extract_sdp
from core.transports.opensips.events import UaSessionEvent
from core.transports.opensips.sip import media_type
from core.transports.opensips.transfer import Transfer
from core.transports.opensips.ua_sessions import Headers

ALLOW = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY")
ACCEPT_SDP = ("Accept", "application/sdp")
_ACCEPT_DIGITS = ("Accept", "application/dtmf-relay, application/dtmf")
_KNOWN_BUT_NOT_SERVED = frozenset({"REFER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REGISTER", "PRACK"})
_SIGNAL = re.compile(r"^\s*signal\s*=\s*([0-9A-D*#]|1[0-5])\s*$", re.IGNORECASE | re.MULTILINE)
# RFC 4733 3.2 numbers the keys; some phones send the number of the key in place of its name.
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is replied. `is_offer`: the description in it is our offer, and the ACK brings the answer."""

    status: int
    reason: str
    sdp: str = ""
    headers: Headers = ()
    is_offer: bool = False


class OfferAnswerer(Protocol):
    """The part of a `DialogUser` that requests need."""

    def offered(self, sdp: str) -> str: ...

    def offer(self) -> str: ...

    def digit(self, digit: str) -> None: ...


_OK = Reply(200, "OK")


def reply_to(request: UaSessionEvent, user: OfferAnswerer, transfer: Transfer | None, *, answered: bool) -> Reply:
    """Does what the request asks for, and says how to reply."""
    match request.method:
        case "INVITE":
            return _renegotiation(request, user, without_offer=Reply(200, "OK", is_offer=True))
        case "UPDATE":
            if not answered and request.body:
                # The first offer is not answered yet (RFC 3311 5.2).
                return Reply(500, "Server Internal Error", headers=[("Retry-After", "2")])
            return _renegotiation(request, user, without_offer=_OK)
        case "INFO":
            return _info(request, user)
        case "OPTIONS":
            return Reply(200, "OK", headers=[ALLOW, ACCEPT_SDP])
        case "NOTIFY":
            return _notify(request, transfer)
        case method if method in _KNOWN_BUT_NOT_SERVED:
            return Reply(405, "Method Not Allowed", headers=[ALLOW])
    return Reply(501, "Not Implemented", headers=[ALLOW])


def refusal_headers(refusal: OfferRejected) -> Headers:
    return [ACCEPT_SDP] if refusal.sip_status == 415 else ()


def _renegotiation(request: UaSessionEvent, user: OfferAnswerer, *, without_offer: Reply) -> Reply:
    try:
        sdp = extract_sdp(request.headers.get("content-type", ""), request.body.encode()).decode()
        if sdp:
            return Reply(200, "OK", sdp=user.offered(sdp))
        return replace(without_offer, sdp=user.offer()) if without_offer.is_offer else without_offer
    except OfferRejected as refusal:
        return Reply(refusal.sip_status, refusal.reason, headers=refusal_headers(refusal))


def _info(request: UaSessionEvent, user: OfferAnswerer) -> Reply:
    content = media_type(request.headers)
    if content == "application/dtmf-relay":
        signal = _SIGNAL.search(request.body)
        digit = _key(signal.group(1)) if signal else ""
    elif content == "application/dtmf":
        digit = _key(request.body.strip())
    elif not request.body.strip():
        # Some phones ask so whether the call is still there.
        return _OK
    else:
        return Reply(415, "Unsupported Media Type", headers=[_ACCEPT_DIGITS])
    if not digit:
        return Reply(400, "No such key")
    user.digit(digit)
    return _OK


def _key(signal: str) -> str:
    """A key by its name or, from 10 on, its number; "" where there is none."""
    name = signal.upper()
    if len(name) == 1 and name in _KEYS:
        return name
    return _KEYS[int(name)] if name.isascii() and name.isdecimal() and int(name) < len(_KEYS) else ""


def _notify(request: UaSessionEvent, transfer: Transfer | None) -> Reply:
    if request.headers.get("event", "").partition(";")[0].strip().lower() != "refer":
        return Reply(489, "Bad Event", headers=[("Allow-Events", "refer")])
    if transfer is not None:
        transfer.notified(request.body, request.headers.get("subscription-state", ""))
    # The last word on a transfer that has ended already is no error of the phone's.
    return _OK
