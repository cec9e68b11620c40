"""Twilio's requests: read within bounds, checked, and answered with instructions."""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from core.observability import metrics
from core.transports.twilio import twiml
from core.transports.twilio.public_url import PublicUrl
from core.transports.twilio.signatures import SignatureCheck, SignatureRefused

_log = logging.getLogger(__name__)

_FIELDS_MAX = 200
_READ_TIMEOUT_S = 5.0
_CALL_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_WITHHELD = frozenset({"anonymous", "restricted", "unavailable", "unknown", "+266696687", "266696687"})
_URI = re.compile(r"(?:sips?|client|whatsapp|tel):", re.IGNORECASE)
_USER_CHARS_MAX = 128


class WebhookRefused(ValueError):
    """The request is not taken. `reason` is one word, for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request of Twilio's that was found to be one.

    Attributes:
        fields: what Twilio says.
        parameters: what its URL says beside.
        at: the address under which Twilio knows us.
    """

    fields: Mapping[str, str]
    parameters: Mapping[str, str]
    at: PublicUrl

    @property
    def call_sid(self) -> str:
        return self.fields["CallSid"]

    @property
    def rings(self) -> bool:
        """Whether the call has not been answered by anybody, and can be rejected."""
        return self.fields.get("CallStatus") == "ringing" and not self.fields.get("Direction", "").startswith(
            "outbound"
        )


class Webhooks:
    """Reads and checks what is sent to the webhooks.

    Args:
        signatures: None to take them unsigned.
        at: None to go by what the proxies say.
    """

    def __init__(self, signatures: SignatureCheck | None, at: PublicUrl | None) -> None:
        self._signatures = signatures
        self._at = at

    def at(self, request: web.Request) -> PublicUrl:
        return self._at or PublicUrl.of(request)

    async def read(self, request: web.Request) -> Webhook:
        """The request, if it is Twilio's.

        Raises:
            WebhookRefused: it is not, or does not say which call it is about.
        """
        at = self.at(request)
        body = await _body(request)
        form = _form(body) if request.content_type == "application/x-www-form-urlencoded" else MultiDict[str]()
        if self._signatures is not None:
            try:
                self._signatures.check(at.requested(request), request.headers, form, body)
            except SignatureRefused as refused:
                raise WebhookRefused(refused.reason) from refused
        parameters = {name: value for name, value in request.query.items() if name != "bodySHA256"}
        fields = dict(form)
        if request.method == "GET":
            # Both stand in the query then: Twilio's own names begin with a capital letter.
            fields = {name: value for name, value in parameters.items() if name[:1].isupper()}
            parameters = {name: value for name, value in parameters.items() if name not in fields}
        if not _CALL_SID.fullmatch(fields.get("CallSid", "")):
            raise WebhookRefused("no_call")
        return Webhook(fields, parameters, at)


def refused(request: web.Request, reason: str, status: int = 403) -> web.Response:
    """What a request that is not taken is answered; counted."""
    metrics.TWILIO_REFUSED.labels(reason).inc()
    _log.warning("request refused", extra={"reason": reason, "status": status, "remote": request.remote})
    return web.Response(status=status, text=f"{reason.replace('_', ' ')}\n")


def instructions(content: str) -> web.Response:
    return web.Response(text=content, content_type=twiml.CONTENT_TYPE, charset="utf-8")


def user_part(address: str) -> str:
    """Of a number, a `sip:` or `client:` address; "" where it is withheld."""
    user = _URI.sub("", address.strip(), count=1)
    user = user.partition("@")[0].partition(";")[0][:_USER_CHARS_MAX]
    return "" if user.lower() in _WITHHELD else user


async def _body(request: web.Request) -> str:
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            return (await request.read()).decode()
    except (TimeoutError, web.HTTPRequestEntityTooLarge, UnicodeDecodeError) as error:
        raise WebhookRefused("body") from error


def _form(body: str) -> MultiDict[str]:
    try:
        return MultiDict(parse_qsl(body, keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise WebhookRefused("body") from error
