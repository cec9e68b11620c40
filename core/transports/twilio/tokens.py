"""The stream's address holds who calls whom, signed: any replica may take the socket, and nothing is stored for it."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.transports.twilio.replay import SeenOnce

# A URL in TwiML may hold a few thousand characters.
TOKEN_CHARS_MAX = 3000
_PURPOSE = b"oavc twilio stream token 1"
_USED_CAPACITY = 10_000


class TokenRefused(ValueError):
    """The token opens nothing. `reason` is one word, for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says of the call that its stream belongs to.

    Attributes:
        resumes: the name of the leg whose stream it takes up again, "" for a new call.
    """

    call_sid: str
    caller: str
    called: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    resumes: str = ""


class StreamTokens:
    """Issues tokens, and redeems each once.

    Args:
        secret: any text that all replicas share.
        clock: wall-clock seconds, alike on all replicas.
    """

    def __init__(self, secret: str, lifetime_s: float, clock: Callable[[], float]) -> None:
        self._key = hmac.new(secret.encode(), _PURPOSE, hashlib.sha256).digest()
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._used = SeenOnce(_USED_CAPACITY)

    def issue(self, claims: Claims, after_s: float = 0.0) -> str:
        """A token safe in a URL's path.

        Args:
            after_s: how long its lifetime is put off.

        Raises:
            ValueError: the claims are too long for a URL.
        """
        content = [
            claims.call_sid,
            claims.caller,
            claims.called,
            dict(claims.parameters),
            claims.resumes,
            round(self._clock() + after_s + self._lifetime_s, 3),
            secrets.token_urlsafe(9),
        ]
        body = _encode(json.dumps(content, separators=(",", ":")).encode())
        token = f"{body}.{_encode(self._mac(body))}"
        if len(token) > TOKEN_CHARS_MAX:
            raise ValueError("the call's parameters are too long")
        return token

    def redeem(self, token: str) -> Claims:
        """What it says; never again for the same token.

        Raises:
            TokenRefused: forged, expired or used.
        """
        body, _, mac = token.partition(".")
        readable = token.isascii() and len(token) <= TOKEN_CHARS_MAX
        if not readable or not hmac.compare_digest(_decode(mac), self._mac(body)):
            raise TokenRefused("token_forged")
        call_sid, caller, called, parameters, resumes, until_s, nonce = json.loads(_decode(body))
        now_s = self._clock()
        if now_s >= until_s:
            raise TokenRefused("token_expired")
        if not self._used.first_time(nonce, now_s, until_s):
            raise TokenRefused("token_used")
        return Claims(call_sid, caller, called, parameters, resumes)

    def _mac(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), hashlib.sha256).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """The bytes, or b"" where that is no base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
