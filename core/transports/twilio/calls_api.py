"""Call control over Twilio's REST API, by Twilio's own SDK on the event loop (Voice API, "Call resource").

Importing it takes a third of a second, most of it the SDK's: it is for the factory's `build`, not for a call.
"""

import asyncio
import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from core.errors import SignallingError, SignallingRefused, SignallingTimeout
from core.observability.numbers import without_numbers

BASE_URL = "https://api.twilio.com"
# "Invalid call state": there is nothing left to hang up.
_CALL_IS_OVER = 21220
_SID_OR_KEY = re.compile(r"\b(AC|SK)[0-9a-fA-F]{8,}")
# The SDK writes every URL and header into its log; nobody listens to this one.
_NO_LOG = logging.Logger("twilio", logging.CRITICAL)

# What went wrong -> what it means. Aiohttp's timeouts are connection errors too: the narrower class is first.
_FAILURES: tuple[tuple[type[Exception], type[SignallingError], str], ...] = (
    (TimeoutError, SignallingTimeout, "no answer of Twilio's in time"),
    (aiohttp.InvalidURL, SignallingError, "the base URL is no URL"),
    (aiohttp.ClientError, SignallingError, "Twilio was not reached"),
    (OSError, SignallingError, "Twilio was not reached"),
    (TwilioException, SignallingError, "Twilio's answer is none"),
    # The SDK takes it for granted that an answer is a JSON object.
    (ValueError, SignallingError, "Twilio's answer is none"),
    (AttributeError, SignallingError, "Twilio's answer is none"),
    (TypeError, SignallingError, "Twilio's answer is none"),
)


class TwilioCalls:
    """The `CallControl` of one Twilio account. Connections are opened when needed, and kept until `close`."""

    def __init__(
        self, account_sid: str, username: str, password: str, base_url: str = BASE_URL, timeout_s: float = 5.0
    ) -> None:
        """
        Args:
            username: the account's SID with its auth token as `password`, or an API key's SID with its secret.
            base_url: in place of Twilio's own; may have a path.
            timeout_s: for each request, from connecting to the end of the answer.
        """
        self._secrets = tuple(filter(None, (account_sid, username, password)))
        self._timeout_s = timeout_s
        self._http = AsyncTwilioHttpClient(pool_connections=False, logger=_NO_LOG)
        client = Client(
            account_sid=account_sid, http_client=self._http, credential_provider=_BasicAuth(username, password)
        )
        # The SDK would read these two from the environment, and change the host by them.
        client.edge = client.region = None
        client.api.base_url = base_url
        # Naming it loads most of the SDK: now, and not while somebody waits for a transfer.
        self._calls = client.calls
        self._closed = False

    async def hang_up(self, call_sid: str) -> None:
        try:
            await self._update("hang up", call_sid, status="completed")
        except SignallingRefused as refusal:
            if refusal.code != _CALL_IS_OVER:
                raise

    async def redirect(self, call_sid: str, twiml: str) -> None:
        await self._update("redirect", call_sid, twiml=twiml)

    async def place(self, called: str, caller: str, voice_url: str, status_url: str) -> str:
        wanted = {"to": called, "from_": caller, "url": voice_url}
        if status_url:
            wanted["status_callback"] = status_url
        with self._translated("place"):
            self._connect()
            async with asyncio.timeout(self._timeout_s):
                call = await self._calls.create_async(**wanted)
        if not isinstance(call.sid, str) or not call.sid:
            raise SignallingError("place: Twilio's answer names no call")
        return call.sid

    async def close(self) -> None:
        self._closed = True
        session, self._http.session = self._http.session, None
        if session is not None:
            await session.close()

    async def _update(self, method: str, call_sid: str, **changes: str) -> None:
        with self._translated(method):
            self._connect()
            async with asyncio.timeout(self._timeout_s):
                await self._calls(call_sid).update_async(**changes)

    def _connect(self) -> None:
        if self._closed:
            raise SignallingError("call control is closed")
        if self._http.session is None:
            # Made here, for it needs a running loop. What Twilio sets as cookies is of no use to anybody.
            self._http.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    @contextmanager
    def _translated(self, method: str) -> Iterator[None]:
        """The errors of the SDK and of the connection as ours, without the numbers and credentials in their text."""
        try:
            yield
        except TwilioRestException as error:
            code = error.code if isinstance(error.code, int) else error.status
            raise SignallingRefused(method, code, self._harmless(str(error.msg))) from None
        except tuple(kind for kind, _, _ in _FAILURES) as error:
            ours, meaning = next((ours, meaning) for kind, ours, meaning in _FAILURES if isinstance(error, kind))
            raise ours(f"{method}: {meaning} ({type(error).__name__})") from None

    def _harmless(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return without_numbers(_SID_OR_KEY.sub(r"\1***", text))


class _BasicAuth:
    """The SDK's "credential provider" and its "auth strategy" in one: what it does for names and passwords is
    deprecated by its HTTP library."""

    def __init__(self, username: str, password: str) -> None:
        self._header = f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

    def to_auth_strategy(self) -> Self:
        return self

    def get_auth_string(self) -> str:
        return self._header
