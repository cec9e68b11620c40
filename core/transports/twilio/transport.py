"""Calls through Twilio: webhooks that answer them, and sockets that carry their audio."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import WSCloseCode, web

from core.errors import CallRefused, ConnectorError, Draining, SignallingError
from core.leg import CallHandler, CallInfo, EndReason
from core.observability import metrics
from core.transports.twilio import twiml
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.leg import Addresses, TwilioLeg
from core.transports.twilio.media_socket import MediaSocket, StreamRefused
from core.transports.twilio.messages import Start
from core.transports.twilio.public_url import PublicUrl
from core.transports.twilio.settings import TwilioSettings
from core.transports.twilio.signatures import SignatureCheck
from core.transports.twilio.tokens import Claims, StreamTokens, TokenRefused
from core.transports.twilio.webhooks import Webhook, WebhookRefused, Webhooks, instructions, refused, user_part
from services.common import correlation

_log = logging.getLogger(__name__)

_HANDLER_GRACE_S = 30.0
# A call that comes back from a transfer finds its former leg about to be gone.
_FORMER_LEG_S = 5.0
_FINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_DIALLED = frozenset({"completed", "answered"})


class TwilioTransport:
    """Calls of one Twilio account.

    Args:
        control: None where there are no credentials for the REST API.
    """

    name = "twilio"

    def __init__(self, settings: TwilioSettings, admission: Callable[[], None], control: CallControl | None) -> None:
        self._settings = settings
        self._admission = admission
        self._control = control
        token = settings.auth_token
        signatures = None
        if settings.validate_signatures:
            assert token is not None
            signatures = SignatureCheck(token.get_secret_value(), settings.replay_window_s, time.monotonic)
        self._at = PublicUrl.parse(settings.public_url) if settings.public_url else None
        self._webhooks = Webhooks(signatures, self._at)
        # Without an auth token that all replicas share, only this process takes the streams that it announced.
        secret = secrets.token_hex(32) if token is None else token.get_secret_value()
        self._tokens = StreamTokens(secret, settings.token_lifetime_s, time.time)
        self._legs: dict[str, TwilioLeg] = {}
        self._opening: set[str] = set()
        self._sockets: set[MediaSocket] = set()
        self._group: asyncio.TaskGroup | None = None
        self._handler: CallHandler | None = None
        self._draining = False

    @property
    def ready(self) -> bool:
        return self._group is not None and not self._draining

    @property
    def calls(self) -> int:
        return len(self._legs)

    @property
    def streams(self) -> int:
        """Sockets that are open."""
        return len(self._sockets)

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Also below the public URL's own path: not every proxy takes it away."""
        path = self._settings.path
        roots = [path]
        if self._at is not None and self._at.prefix:
            roots.append(self._at.prefix + path)
        return [
            route
            for root in roots
            for route in (
                web.post(f"{root}/voice", self._voice),
                web.post(f"{root}/status", self._status),
                web.post(f"{root}/dialled", self._dialled),
                web.get(f"{root}/stream/{{token}}", self._stream),
            )
        ]

    async def drain(self) -> None:
        self._draining = True

    async def run(self, handler: CallHandler) -> None:
        self._handler = handler
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self._draining = True
        finally:
            self._group = None
            await asyncio.gather(*(socket.close(WSCloseCode.GOING_AWAY) for socket in self._sockets))
            if self._control is not None:
                await self._control.close()

    async def place(self, called: str, caller: str, parameters: Mapping[str, str]) -> str:
        """As `Dialler` says. Twilio asks for instructions at our public URL once the call is answered."""
        if self._control is None:
            raise SignallingError("twilio.account_sid is not set: calls are placed by the REST API")
        if self._at is None:
            raise SignallingError("twilio.public_url is not set: Twilio could not reach us")
        path = self._settings.path
        query = f"?{urlencode(parameters)}" if parameters else ""
        return await self._control.place(
            called, caller, self._at.http(f"{path}/voice{query}"), self._at.http(f"{path}/status")
        )

    # Webhooks.

    async def _voice(self, request: web.Request) -> web.Response:
        """A call has come in, or one of ours was answered."""
        try:
            webhook = await self._webhooks.read(request)
        except WebhookRefused as error:
            return refused(request, error.reason)
        return self._answer(webhook, webhook.parameters, twiml.reject())

    async def _status(self, request: web.Request) -> web.Response:
        """A call has changed its state; that it is over may be news to a stream that lingers."""
        try:
            webhook = await self._webhooks.read(request)
        except WebhookRefused as error:
            return refused(request, error.reason)
        leg = self._legs.get(webhook.call_sid)
        status = webhook.fields.get("CallStatus", "")
        if leg is not None and status in _FINAL_STATUSES:
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
        try:
            if not self.ready:
                raise Draining
            self._admission()
        except CallRefused as refusal:
            metrics.CALLS_REFUSED.labels(self.name, refusal.sip_status).inc()
            _log.warning("call refused", extra={"status": refusal.sip_status, "reason": refusal.reason})
            return instructions(otherwise)
        fields = webhook.fields
        direction = "outbound" if fields.get("Direction", "").startswith("outbound") else "inbound"
        claims = Claims(
            webhook.call_sid,
            user_part(fields.get("From", "")),
            user_part(fields.get("To", "")),
            {**parameters, "direction": direction},
        )
        try:
            return instructions(twiml.connect_stream(self._stream_url(webhook.at, claims)))
        except ValueError as error:
            _log.warning("call refused", extra={"reason": str(error)})
            metrics.TWILIO_REFUSED.labels("parameters_too_long").inc()
            return instructions(otherwise)

    def _stream_url(self, at: PublicUrl, claims: Claims) -> str:
        return at.web_socket(f"{self._settings.path}/stream/{self._tokens.issue(claims)}")

    # Streams.

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        try:
            claims = self._tokens.redeem(request.match_info["token"])
        except TokenRefused as error:
            return refused(request, error.reason)
        if self._group is None or (self._draining and not claims.resumes):
            return refused(request, "draining", 503)
        call_sid = claims.call_sid
        former = self._legs.get(call_sid)
        if former is not None and former.over.is_set() and not claims.resumes:
            await former.released(_FORMER_LEG_S)
        if not self._wanted(claims):
            return refused(request, "stream_unexpected", 409)
        self._opening.add(call_sid)
        try:
            socket = await MediaSocket.accept(request, self._settings)
        except BaseException:
            self._opening.discard(call_sid)
            raise
        self._sockets.add(socket)
        try:
            try:
                leg = await self._opened(request, socket, claims)
            finally:
                self._opening.discard(call_sid)
            if leg is not None:
                await leg.serve(socket)
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket.response

    async def _opened(self, request: web.Request, socket: MediaSocket, claims: Claims) -> TwilioLeg | None:
        """The leg that the stream belongs to, new or waiting for it; None where there is none."""
        try:
            start = await socket.start(claims.call_sid)
        except StreamRefused as error:
            metrics.TWILIO_REFUSED.labels(error.reason).inc()
            _log.warning("stream refused", extra={"reason": error.reason, "remote": request.remote})
            await socket.close(WSCloseCode.POLICY_VIOLATION)
            return None
        if not claims.resumes:
            return self._begin(request, claims, start)
        leg = self._legs.get(claims.call_sid)
        return leg if leg is not None and leg.awaits(claims.resumes) else None

    def _wanted(self, claims: Claims) -> bool:
        """Whether a call waits for this stream: a new one, or the one whose stream it takes up again."""
        leg = self._legs.get(claims.call_sid)
        if claims.call_sid in self._opening:
            return False
        return leg is None if not claims.resumes else leg is not None and leg.awaits(claims.resumes)

    def _begin(self, request: web.Request, claims: Claims, start: Start) -> TwilioLeg | None:
        if self._group is None:
            return None
        at = self._webhooks.at(request)
        info = CallInfo(
            claims.call_sid,
            self.name,
            claims.caller,
            claims.called,
            parameters={**start.parameters, **claims.parameters},
        )
        addresses = Addresses(
            lambda resumes: self._stream_url(at, Claims(claims.call_sid, "", "", resumes=resumes)),
            at.http(f"{self._settings.path}/dialled?{urlencode(claims.parameters)}"),
        )
        leg = TwilioLeg(info, self._settings, self._control, addresses)
        self._legs[claims.call_sid] = leg
        self._group.create_task(self._run_call(leg))
        return leg

    async def _run_call(self, leg: TwilioLeg) -> None:
        correlation.call_id.set(leg.info.call_id)
        try:
            async with asyncio.TaskGroup() as call:
                carrying = call.create_task(leg.carry())
                over = call.create_task(leg.over.wait())
                conversation = call.create_task(self._converse(leg))
                await asyncio.wait({over, conversation}, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait({conversation}, timeout=_HANDLER_GRACE_S)
                if conversation.cancel():
                    _log.warning("conversation outlived its call")
                over.cancel()
                carrying.cancel()
        except Exception:
            # A call's failure ends that call only.
            _log.exception("call failed")
        finally:
            await leg.hang_up(EndReason.ERROR)
            await leg.release()
            del self._legs[leg.info.call_id]

    async def _converse(self, leg: TwilioLeg) -> None:
        """Runs the handler; however it ends, the call ends with it."""
        try:
            assert self._handler is not None
            await self._handler(leg)
        except ConnectorError as error:
            _log.info("call ended by an error", extra={"reason": str(error)})
            await leg.reject(error)
        except Exception as error:
            _log.exception("conversation failed")
            await leg.reject(error)
        finally:
            await leg.hang_up(EndReason.AGENT_HUNG_UP)
