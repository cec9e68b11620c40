"""A stand-in of Twilio's REST API for calls: create, change, fetch (Twilio Voice API, 2010-04-01, "Call resource").

    async with TwilioRestStandIn() as twilio:
        ...point `[twilio] api_base_url` at twilio.url...
        twilio.add_call("CA...", caller="+15005550006", called="+15005550001")
        twilio.on_update = end_the_socket

What it answers, errors included, has the form of Twilio's own answers, so that Twilio's SDK cannot tell.
"""

import asyncio
import base64
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "fedcba9876543210" * 2

_DIALLED = re.compile(r"\+[1-9]\d{1,14}|sips?:[^\s@]+@[^\s@]+|client:\S+", re.IGNORECASE)
_ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_SHUTDOWN_TIMEOUT_S = 0.1

OnCreate = Callable[[Mapping[str, str]], Awaitable[str]]
OnUpdate = Callable[[str, Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request as it came. Of a parameter given several times, `params` has the values with a space between."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiError:
    """An answer of 400 and more: the HTTP status, and Twilio's own code and message."""

    status: int
    code: int
    message: str

    def as_response(self) -> web.Response:
        body = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return web.json_response(body, status=self.status)


TOO_MANY_REQUESTS = ApiError(429, 20429, "Too Many Requests")
INTERNAL_ERROR = ApiError(500, 20500, "An internal server error has occurred")
_UNAUTHENTICATED = ApiError(401, 20003, "Authenticate")


class TwilioRestStandIn:
    """An HTTP server on localhost that answers as Twilio's REST API would.

    Attributes:
        requests: everything that came, refused or not, in order.
        calls: the call resources by SID, as Twilio would show them.
        on_create: asked for the SID of a call that is created; without it one is invented.
        on_update: told of a change before it is answered, with the call's SID and what was posted.
        failure: what every request is answered with from now on, None for sense.
        delay_s: how long every answer takes.
        hang: whether requests are taken and never answered.
    """

    def __init__(
        self,
        account_sid: str = ACCOUNT_SID,
        username: str | None = None,
        password: str = AUTH_TOKEN,
        host: str = "127.0.0.1",
        prefix: str = "",
        port: int = 0,
    ) -> None:
        """`username`: of an API key, where it is not the account's own SID. `prefix`: path before Twilio's own."""
        self.account_sid = account_sid
        credentials = f"{username or account_sid}:{password}".encode()
        self._authorization = f"Basic {base64.b64encode(credentials).decode()}"
        self._host = host
        self._prefix = prefix
        self._runner: web.AppRunner | None = None
        self._port = port
        self.requests: list[ApiRequest] = []
        self.calls: dict[str, dict[str, Any]] = {}
        self.on_create: OnCreate | None = None
        self.on_update: OnUpdate | None = None
        self.failure: ApiError | None = None
        self.delay_s = 0.0
        self.hang = False

    @property
    def url(self) -> str:
        """In place of https://api.twilio.com."""
        return f"http://{self._host}:{self._port}{self._prefix}"

    async def start(self) -> None:
        """Listens, on a free port unless one was given.

        Raises:
            OSError: another program has the port.
        """
        application = web.Application()
        calls = f"{self._prefix}/2010-04-01/Accounts/{{account_sid}}/Calls"
        application.add_routes(
            [
                web.post(f"{calls}.json", self._answered(self._create)),
                web.post(f"{calls}/{{call_sid}}.json", self._answered(self._update)),
                web.get(f"{calls}/{{call_sid}}.json", self._answered(self._fetch)),
            ]
        )
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends requests that hang, too. Harmless when repeated."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def add_call(
        self, call_sid: str, caller: str, called: str, *, status: str = "in-progress", direction: str = "inbound"
    ) -> None:
        """A call that did not come about by this API: somebody has called one of the account's numbers."""
        uri = f"/2010-04-01/Accounts/{self.account_sid}/Calls/{call_sid}"
        now = format_datetime(datetime.now(UTC))
        self.calls[call_sid] = {
            "sid": call_sid,
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "from": caller,
            "from_formatted": caller,
            "to": called,
            "to_formatted": called,
            "status": status,
            "direction": direction,
            "date_created": now,
            "date_updated": now,
            "start_time": now if status == "in-progress" else None,
            "end_time": None,
            "duration": None,
            "price": None,
            "price_unit": "USD",
            "answered_by": None,
            "caller_name": None,
            "forwarded_from": None,
            "group_sid": None,
            "parent_call_sid": None,
            "phone_number_sid": None,
            "queue_time": "0",
            "trunk_sid": None,
            "uri": f"{uri}.json",
            "subresource_uris": {"recordings": f"{uri}/Recordings.json", "events": f"{uri}/Events.json"},
        }

    def set_status(self, call_sid: str, status: str) -> None:
        """What became of a call: "in-progress", "completed", "busy", "failed", "no-answer", "canceled"."""
        call = self.calls[call_sid]
        now = format_datetime(datetime.now(UTC))
        call |= {"status": status, "date_updated": now}
        if status == "in-progress":
            call["start_time"] = now
        elif status in _ENDED:
            call |= {"end_time": now, "duration": "0"}

    def _answered(
        self, handler: Callable[[web.Request, Mapping[str, str]], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Logs the request, then fails as it was told to, then checks who asks."""

        async def answer(request: web.Request) -> web.Response:
            form = await request.post()
            params = {name: " ".join(str(value) for value in form.getall(name)) for name in form}
            self.requests.append(ApiRequest(request.method, request.path, params))
            if self.hang:
                await asyncio.Event().wait()
            await asyncio.sleep(self.delay_s)
            if self.failure is not None:
                return self.failure.as_response()
            authorization = request.headers.get("Authorization", "")
            if authorization != self._authorization or request.match_info["account_sid"] != self.account_sid:
                return _UNAUTHENTICATED.as_response()
            return await handler(request, params)

        return answer

    async def _create(self, _request: web.Request, params: Mapping[str, str]) -> web.Response:
        called, caller = params.get("To", ""), params.get("From", "")
        if not called:
            return ApiError(400, 21201, "No 'To' number is specified").as_response()
        if not _DIALLED.fullmatch(called):
            message = f"The phone number you are attempting to call, {called}, is not valid."
            return ApiError(400, 21211, message).as_response()
        if not caller:
            return ApiError(400, 21213, "No 'From' number is specified").as_response()
        if not params.keys() & {"Url", "Twiml", "ApplicationSid"}:
            return ApiError(400, 21205, "Url parameter is required.").as_response()
        if self.on_create is not None:
            call_sid = await self.on_create(params)
        else:
            call_sid = f"CA{secrets.token_hex(16)}"
        if call_sid not in self.calls:
            self.add_call(call_sid, caller, called, status="queued", direction="outbound-api")
        return web.json_response(self.calls[call_sid], status=201)

    async def _update(self, request: web.Request, params: Mapping[str, str]) -> web.Response:
        call = self.calls.get(request.match_info["call_sid"])
        if call is None:
            return _not_found(request)
        redirected = params.keys() & {"Twiml", "Url"}
        wanted = params.get("Status")
        if call["status"] in _ENDED or (redirected and call["status"] != "in-progress"):
            message = "Unable to update record. Call is not in-progress. Cannot redirect."
            return ApiError(400, 21220, message).as_response()
        if wanted not in (None, "completed", "canceled"):
            return ApiError(400, 20001, f"Invalid value for Status: {wanted}").as_response()
        if self.on_update is not None:
            await self.on_update(call["sid"], params)
        # Cancelling is for calls that nobody has answered yet; it leaves others alone.
        if wanted == "completed" or (wanted == "canceled" and call["status"] in ("queued", "ringing")):
            self.set_status(call["sid"], "completed" if call["status"] == "in-progress" else "canceled")
        return web.json_response(call)

    async def _fetch(self, request: web.Request, _params: Mapping[str, str]) -> web.Response:
        call = self.calls.get(request.match_info["call_sid"])
        return _not_found(request) if call is None else web.json_response(call)


def _not_found(request: web.Request) -> web.Response:
    message = f"The requested resource {request.path.partition('/2010-04-01')[2]} was not found"
    return ApiError(404, 20404, message).as_response()
