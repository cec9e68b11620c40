"""Calls through Twilio: what its webhooks are answered, and what it is asked to do."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from core.errors import CallRefused, Draining, SignallingError
from core.leg import CallHandler
from core.observability import metrics
from core.transports.twilio import twiml
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.calls import Calls
from core.transports.twilio.public_url import PublicUrl
from core.transports.twilio.settings import TwilioSettings
from core.transports.twilio.signatures import SignatureCheck
from core.transports.twilio.streams import Streams
from core.transports.twilio.tokens import Claims
from core.transports.twilio.webhooks import Webhook, WebhookRefused, Webhooks, instructions, refused, user_part

Handler = Callable[[web.Request], Awaitable[web.Response]]

_log = logging.getLogger(__name__)

_FINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_DIALLED = frozenset({"completed", "answered"})


class TwilioTransport:
    """Calls of one Twilio account.

    Args:
        admission: raises `CallRefused` where a call that came now would be refused.
        control: None where there are no credentials for the REST API.
        placed_call_over: is told of every call that is over.
    """

    name = "twilio"

    def __init__(
        self,
        settings: TwilioSettings,
        admission: Callable[[], None],
        control: CallControl | None,
        placed_call_over: Callable[[str], None] = lambda _call_id: None,
    ) -> None:
        self._placed_call_over = placed_call_over
        self._settings = settings
        self._admission = admission
        self._control = control
        signatures = None
        if settings.validate_signatures:
            assert settings.auth_token is not None
            signatures = SignatureCheck(
                settings.auth_token.get_secret_value(), settings.replay_window_s, time.monotonic
            )
        self._at = PublicUrl.parse(settings.public_url) if settings.public_url else None
        self._webhooks = Webhooks(signatures, self._at)
        self._calls = Calls()
        self._streams = Streams(settings, self._calls, control, self._webhooks.at)

    @property
    def ready(self) -> bool:
        return self._calls.running and not self._streams.draining

    @property
    def calls(self) -> int:
        """Legs of which something is left."""
        return len(self._calls)

    @property
    def streams(self) -> int:
        """Sockets that are open."""
        return len(self._streams)

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Also below the public URL's own path: not every proxy takes it away."""
        roots = [self._settings.path]
        if self._at is not None and self._at.prefix:
            roots.append(self._at.prefix + self._settings.path)
        return [
            route
            for root in roots
            for route in (
                *self._webhook(f"{root}/voice", self._voice),
                *self._webhook(f"{root}/status", self._status),
                web.post(f"{root}/dialled", self._dialled),
                web.get(f"{root}/stream/{{token}}", self._streams.open),
            )
        ]

    async def drain(self) -> None:
        self._streams.draining = True

    async def run(self, handler: CallHandler) -> None:
        try:
            await self._calls.run(handler)
        finally:
            await self._streams.close()
            if self._control is not None:
                await self._control.close()

    async def place(self, called: str, caller: str, parameters: Mapping[str, str]) -> str:
        """As `Dialler` says. Twilio asks for instructions at our public URL once the call is answered."""
        twiml.noun(called)
        if self._control is None:
            raise SignallingError("twilio.account_sid is not set: calls are placed by the REST API")
        if self._at is None:
            raise SignallingError("twilio.public_url is not set: Twilio would not know where to ask")
        path = self._settings.path
        query = f"?{urlencode(parameters)}" if parameters else ""
        return await self._control.place(
            called, caller, self._at.http(f"{path}/voice{query}"), self._at.http(f"{path}/status")
        )

    @staticmethod
    def _webhook(path: str, handler: Handler) -> Sequence[web.AbstractRouteDef]:
        """Twilio's console offers both methods."""
        return web.post(path, handler), web.get(path, handler, allow_head=False)

    async def _voice(self, request: web.Request) -> web.Response:
        """A call has come in, or one that we placed was answered."""
        try:
            webhook = await self._webhooks.read(request)
        except WebhookRefused as error:
            return refused(request, error.reason)
        return self._answer(webhook, webhook.parameters, twiml.reject() if webhook.rings else twiml.hang_up())

    async def _status(self, request: web.Request) -> web.Response:
        """A call has changed its state; that it is over may be news to a stream that lingers, or to who placed it."""
        try:
            webhook = await self._webhooks.read(request)
        except WebhookRefused as error:
            return refused(request, error.reason)
        leg = self._calls.leg(webhook.call_sid)
        status = webhook.fields.get("CallStatus", "")
        if status in _FINAL_STATUSES:
            self._placed_call_over(webhook.call_sid)
            if leg is not None:
                leg.caller_gone(f"call {status}")
        return web.Response(status=204)

    async def _dialled(self, request: web.Request) -> web.Response:
        """A transfer is over: the caller has talked to its target, or comes back to us, as a new call."""
        try:
            webhook = await self._webhooks.read(request)
        except WebhookRefused as error:
            return refused(request, error.reason)
        status = webhook.fields.get("DialCallStatus", "")
        if status in _DIALLED:
            return instructions(twiml.hang_up())
        return self._answer(webhook, {**webhook.parameters, "transfer": status}, twiml.hang_up())

    def _answer(self, webhook: Webhook, parameters: Mapping[str, str], otherwise: str) -> web.Response:
        """Instructions to open a stream, or, where a call would be refused, `otherwise`."""
        fields = webhook.fields
        direction = "outbound" if fields.get("Direction", "").startswith("outbound") else "inbound"
        claims = Claims(
            webhook.call_sid,
            user_part(fields.get("From", "")),
            user_part(fields.get("To", "")),
            {**parameters, "direction": direction},
        )
        try:
            if not self.ready:
                raise Draining
            self._admission()
            return instructions(twiml.connect_stream(self._streams.url(webhook.at, claims)))
        except CallRefused as refusal:
            metrics.CALLS_REFUSED.labels(self.name, refusal.sip_status).inc()
            _log.warning("call refused", extra={"status": refusal.sip_status, "reason": refusal.reason})
        except ValueError as error:
            metrics.TWILIO_REFUSED.labels("parameters_too_long").inc()
            _log.warning("call refused", extra={"reason": str(error)})
        return instructions(otherwise)
