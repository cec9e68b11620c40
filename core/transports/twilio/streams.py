"""The door for sockets: each is let in by its token, says which call it carries, and is read until it closes."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlencode

from aiohttp import WSCloseCode, web

from core.leg import CallInfo
from core.observability import metrics
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.calls import Calls
from core.transports.twilio.leg import Addresses, TwilioLeg
from core.transports.twilio.media_socket import MediaSocket, StreamRefused
from core.transports.twilio.messages import Start
from core.transports.twilio.public_url import PublicUrl
from core.transports.twilio.settings import TwilioSettings
from core.transports.twilio.tokens import Claims, StreamTokens, TokenRefused
from core.transports.twilio.webhooks import refused

_log = logging.getLogger(__name__)

# A call that comes back from a transfer finds its former leg about to be gone.
_FORMER_LEG_S = 5.0


class Streams:
    """Media Streams' sockets, of all calls.

    Args:
        address_of: under which address a request has reached us.
    """

    def __init__(
        self,
        settings: TwilioSettings,
        calls: Calls,
        control: CallControl | None,
        address_of: Callable[[web.Request], PublicUrl],
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._control = control
        self._address_of = address_of
        token = settings.auth_token
        # Without an auth token that all replicas share, only this process takes the streams that it announced.
        secret = secrets.token_hex(32) if token is None else token.get_secret_value()
        self._tokens = StreamTokens(secret, settings.token_lifetime_s, time.time)
        self._opening: set[str] = set()
        self._sockets: set[MediaSocket] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._sockets)

    def url(self, at: PublicUrl, claims: Claims, after_s: float = 0.0) -> str:
        """The address of a stream for that call, good once and not for long.

        Args:
            after_s: how long Twilio has other things to do first.

        Raises:
            ValueError: the claims are too long for an address.
        """
        return at.web_socket(f"{self._settings.path}/stream/{self._tokens.issue(claims, after_s)}")

    async def open(self, request: web.Request) -> web.StreamResponse:
        """A request for a stream's address: answered when the stream has ended."""
        try:
            claims = self._tokens.redeem(request.match_info["token"])
        except TokenRefused as error:
            return refused(request, error.reason)
        if not claims.resumes:
            await self._calls.former_gone(claims.call_sid, _FORMER_LEG_S)
        if not self._calls.running or (self.draining and not claims.resumes):
            return refused(request, "draining", 503)
        if not self._wanted(claims):
            return refused(request, "stream_unexpected", 409)
        self._opening.add(claims.call_sid)
        try:
            socket = await MediaSocket.accept(request, self._settings)
        except BaseException:
            self._opening.discard(claims.call_sid)
            raise
        self._sockets.add(socket)
        try:
            await self._serve(request, socket, claims)
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket.response

    async def close(self) -> None:
        """Closes those that belong to no call yet."""
        await asyncio.gather(*(socket.close(WSCloseCode.GOING_AWAY) for socket in self._sockets))

    def _wanted(self, claims: Claims) -> bool:
        """Whether a call waits for this stream: a new one, or the one whose stream it takes up again."""
        if claims.call_sid in self._opening:
            return False
        leg = self._calls.leg(claims.call_sid)
        return leg is None if not claims.resumes else leg is not None and leg.awaits(claims.resumes)

    async def _serve(self, request: web.Request, socket: MediaSocket, claims: Claims) -> None:
        try:
            start = await socket.start(claims.call_sid)
            leg = self._leg(request, claims, start)
        except StreamRefused as error:
            metrics.TWILIO_REFUSED.labels(error.reason).inc()
            _log.warning("stream refused", extra={"reason": error.reason, "remote": request.remote})
            await socket.close(WSCloseCode.POLICY_VIOLATION)
            return
        finally:
            self._opening.discard(claims.call_sid)
        await leg.serve(socket)

    def _leg(self, request: web.Request, claims: Claims, start: Start) -> TwilioLeg:
        """The leg that the stream belongs to: a new one, or the one that waits for it."""
        if claims.resumes:
            leg = self._calls.leg(claims.call_sid)
            if leg is None or not leg.awaits(claims.resumes):
                raise StreamRefused("stream_unexpected")
            return leg
        if not self._calls.running:
            raise StreamRefused("draining")
        leg = self._new_leg(self._address_of(request), claims, start)
        self._calls.begin(leg)
        return leg

    def _new_leg(self, at: PublicUrl, claims: Claims, start: Start) -> TwilioLeg:
        info = CallInfo(
            claims.call_sid,
            "twilio",
            claims.caller,
            claims.called,
            parameters={**start.parameters, **claims.parameters},
        )
        addresses = Addresses(
            lambda name, after_s: self.url(at, Claims(claims.call_sid, "", "", resumes=name), after_s),
            at.http(f"{self._settings.path}/dialled?{urlencode(claims.parameters)}"),
        )
        return TwilioLeg(info, self._settings, self._control, addresses)
