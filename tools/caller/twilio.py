"""A stand-in of Twilio for one agent: signed webhooks, Media Streams, and the REST API that changes calls.

    async with TwilioStandIn() as twilio:        # then point the agent's api_base_url at twilio.rest.url
        with StreamWire() as wire:
            line = TwilioLine(twilio, wire, AgentAddress("http://127.0.0.1:8080"))
            record = await play_call(line, script, speeches)

It stands for the proxy in front of the agent as well: Twilio itself calls nothing but https and wss.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aiohttp
from twilio.request_validator import RequestValidator

from tools.caller.twilio_rest import ACCOUNT_SID, AUTH_TOKEN, TwilioRestStandIn

if TYPE_CHECKING:
    from tools.caller.twilio_call import TwilioCall

# Twilio gives up on a webhook after as long.
_WEBHOOK_TIMEOUT = aiohttp.ClientTimeout(total=15.0)


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Where the agent of a number is.

    Attributes:
        url: where its HTTP server is reached from here.
        public_url: as which Twilio knows it; made of `url` where it has none of its own.
        path: below which it serves Twilio.
    """

    url: str
    public_url: str = ""
    path: str = "/twilio"

    def webhook(self, name: str) -> str:
        """The public address of one of its webhooks."""
        return f"{self._public}{self.path}/{name}"

    def reached(self, url: str) -> str:
        """Where a public http or ws address of the agent's is reached from here.

        Raises:
            ValueError: it is not one of the agent's, or not one that Twilio would call.
        """
        wanted, public = urlsplit(url), urlsplit(self._public)
        if wanted.scheme not in ("https", "wss"):
            raise ValueError(f"Twilio calls nothing but https and wss, not {wanted.scheme!r}")
        if wanted.netloc != public.netloc or not wanted.path.startswith(public.path):
            raise ValueError(f"{wanted.netloc}{wanted.path} is not below {public.netloc}{public.path}")
        scheme = "http" if wanted.scheme == "https" else "ws"
        here = urlsplit(self.url)
        return wanted._replace(
            scheme=scheme, netloc=here.netloc, path=here.path + wanted.path.removeprefix(public.path)
        ).geturl()

    @property
    def _public(self) -> str:
        return (self.public_url or self.url).rstrip("/").replace("http://", "https://", 1)


class TwilioStandIn:
    """One account, with as many phones as calls.

    Attributes:
        rest: its REST API.
        calls: every call since the start, by its SID.
        dial_status: what becomes of a transfer, as <Dial>'s action is told.
    """

    def __init__(self, account_sid: str = ACCOUNT_SID, auth_token: str = AUTH_TOKEN, rest_port: int = 0) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.rest = TwilioRestStandIn(account_sid, password=auth_token, port=rest_port)
        self.rest.on_update = self._updated
        self.calls: dict[str, TwilioCall] = {}
        self.dial_status = "completed"
        self._validator = RequestValidator(auth_token)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        try:
            await self.rest.start()
        except OSError:
            await self.rest.stop()
            raise
        # A connection that is kept would be one that the agent holds, with no call up.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(timeout=_WEBHOOK_TIMEOUT, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self.rest.stop()

    async def post(self, agent: AgentAddress, url: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """A webhook, signed; the answer's status and text.

        Raises:
            OSError: nobody answers.
            ValueError: the address is not one of the agent's.
        """
        assert self._session is not None
        headers = {
            "X-Twilio-Signature": self.signature(url, fields),
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
            "User-Agent": "TwilioProxy/1.1",
            **self.forwarded(url),
        }
        try:
            async with self._session.post(agent.reached(url), data=dict(fields), headers=headers) as response:
                return response.status, await response.text()
        except aiohttp.ClientError as error:
            raise OSError(str(error) or type(error).__name__) from error

    def signature(self, url: str, fields: Mapping[str, str]) -> str:
        """As X-Twilio-Signature carries it."""
        return str(self._validator.compute_signature(url, dict(fields)))

    def forwarded(self, url: str) -> dict[str, str]:
        """What the proxy in front of the agent adds."""
        return {"X-Forwarded-Proto": "https", "X-Forwarded-Host": urlsplit(url).netloc}

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _updated(self, call_sid: str, params: Mapping[str, str]) -> None:
        if call_sid in self.calls:
            self.calls[call_sid].updated(params)
