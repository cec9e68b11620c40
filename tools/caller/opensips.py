"""A stand-in of OpenSIPS for one connector: MI over datagrams, E_UA_SESSION events, UA sessions, restarts.

    opensips = OpenSipsStandIn()
    await opensips.start()                       # then point the connector's mi_port at opensips.mi_port
    await opensips.wait_subscribed()
    call = opensips.invite(sdp)
    answer = await call.final()
    call.ack()
    await call.bye()

It answers as OpenSIPS 3.6.8 and 4.0.1 were seen to answer, defects included, so that a test can end with
`opensips.sessions == {}` and `opensips.violations == []`.
"""

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from tools.caller.evi import EVENT_NAME, EventFaults, EventInterface
from tools.caller.sip import NO_CONNECTOR, SipReply, SipRequest, parse_header_lines
from tools.caller.sip_call import SDP, SipCall
from tools.caller.ua_session import CommandError, PhoneAnswers, UaSession

DATAGRAM_BYTES = 65457
LISTABLE_SESSIONS = 150
"""More sessions than this make a listing too long for its buffer, and the reply is not JSON."""


_LATE_REPLY_S = 0.6
_OVERTAKEN_S = 0.005


class MiFault(Enum):
    """What can happen to one MI command."""

    LOSE_REQUEST = "lose_request"
    LOSE_REPLY = "lose_reply"
    PLAIN_TEXT = "plain_text"
    LATE_REPLY = "late_reply"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class MiCommand:
    """One command as it arrived."""

    method: str
    params: dict[str, Any]


class _MiCommandError(Exception):
    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


_EXTRAS: tuple[tuple[str, ...], ...] = (
    (),
    ("body",),
    ("extra_headers",),
    ("body", "content_type"),
    ("body", "extra_headers"),
    ("body", "content_type", "extra_headers"),
)
# Name -> required parameters, and which sets of further ones are allowed.
_COMMANDS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "ua_session_reply": (("key", "method", "code", "reason"), _EXTRAS),
    "ua_session_update": (("key", "method"), _EXTRAS),
    "ua_session_terminate": (("key",), ((), ("extra_headers",))),
    "ua_session_list": ((), ((), ("key",))),
    "event_subscribe": (("event", "socket"), ((), ("expire",))),
    "subscribers_list": ((), ((), ("event",), ("event", "socket"))),
    "events_list": ((), ((),)),
    "uptime": ((), ((),)),
}
_NAMES_SINCE_4_0 = {
    "b2b_entities:ua_session_reply": "ua_session_reply",
    "b2b_entities:ua_session_update": "ua_session_update",
    "b2b_entities:ua_session_terminate": "ua_session_terminate",
    "b2b_entities:ua_session_list": "ua_session_list",
    "evi:subscribe": "event_subscribe",
    "evi:subscribers": "subscribers_list",
    "evi:list": "events_list",
}


class OpenSipsStandIn:
    """One OpenSIPS, with as many phones as calls.

    Attributes:
        sessions: every UA session OpenSIPS still holds, by its key.
        commands: every MI command that arrived since the start, lost ones included.
        violations: what a connector must never do to OpenSIPS.
        sip_timeout_s: how long a phone waits for a final reply to a request within a call.
        reply_delay_s: how long OpenSIPS takes for a command.
        events_before_replies: the event that a command causes leaves before the command's own reply.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        mi_port: int = 0,
        mi_socket: Path | None = None,
        version: Literal["3.6", "4.0"] = "4.0",
        guard: bool = True,
        report_ack: bool = True,
        faults: EventFaults | None = None,
        seed: int = 1,
        sip_timeout_s: float = 32.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._mi_socket = mi_socket
        self._version = version
        self._guard = guard
        self._clock = clock
        self._random = random.Random(seed)
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: dict[str, list[MiFault]] = {}
        self._numbers = 0
        self._started_s = 0.0
        self._up_since = ""
        self._subscribed = asyncio.Event()
        self.mi_port = mi_port
        self.report_ack = report_ack
        self.sip_timeout_s = sip_timeout_s
        self.reply_delay_s = 0.0
        self.events_before_replies = False
        self.events = EventInterface(clock, seed, faults or EventFaults())
        self.sessions: dict[str, UaSession] = {}
        self.commands: list[MiCommand] = []
        self.violations: list[str] = []

    # OpenSIPS' life.

    async def start(self) -> None:
        """Opens MI, on the same port as before after a `stop`.

        Raises:
            OSError: another program has the port.
        """
        mi = socket.socket(socket.AF_INET if self._mi_socket is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if self._mi_socket is not None:
                self._mi_socket.unlink(missing_ok=True)
                mi.bind(str(self._mi_socket))
            else:
                mi.bind((self._host, self.mi_port))
                self.mi_port = mi.getsockname()[1]
        except OSError:
            mi.close()
            raise
        mi.setblocking(False)
        self._socket = mi
        self._started_s = self._clock()
        self._up_since = time.ctime()
        self.events.open(self._host)
        asyncio.get_running_loop().add_reader(mi, self._readable)

    async def stop(self) -> None:
        """Ends OpenSIPS: sessions and subscriptions are forgotten, and nobody is told."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self.events.close()
        self.sessions.clear()
        self._subscribed.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restart(self, downtime_s: float = 0.0) -> None:
        await self.stop()
        await asyncio.sleep(downtime_s)
        await self.start()

    async def wait_subscribed(self, timeout_s: float = 5.0) -> None:
        """Returns once a connector has subscribed since the last start.

        Raises:
            TimeoutError: none has.
        """
        async with asyncio.timeout(timeout_s):
            await self._subscribed.wait()

    async def settled(self, timeout_s: float = 5.0) -> None:
        """Returns once no session is left.

        Raises:
            TimeoutError: sessions are left behind, as the message lists them.
        """
        deadline_s = time.monotonic() + timeout_s
        while self.sessions:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"left behind: {[(each.key, each.state.name) for each in self.sessions.values()]}")
            await asyncio.sleep(0.005)

    # Calls.

    def invite(
        self,
        sdp: str | None = None,
        *,
        caller: str = "h4",
        called: str = "echo",
        headers: Iterable[tuple[str, str]] = (),
        extra_params: str | None = None,
        content_type: str = SDP,
    ) -> SipCall:
        """A phone calls; no `sdp` is an INVITE without an offer."""
        self._numbers += 1
        call = SipCall(self, caller, called, 4381 + self._numbers)
        if self._guard and not self.events.subscribers:
            call.refused = NO_CONNECTOR
        else:
            call.invite(sdp, headers, extra_params, content_type)
        return call

    def fail(self, method: str, *faults: MiFault) -> None:
        """The next commands of that name fail so, one after the other."""
        self._faults.setdefault(method, []).extend(faults)

    # What a session asks of its host.

    def new_session(self, phone: PhoneAnswers) -> UaSession:
        bucket, nonce = self._random.randrange(512), self._random.randrange(10**9)
        key = f"B2B.{bucket}.{self._numbers}.{int(time.time())}.{nonce}"
        session = UaSession(self, key, phone)
        self.sessions[key] = session
        return session

    def raise_session_event(self, session: UaSession, event_type: str, method: str, **more: Any) -> None:
        parameters = {
            "key": session.key,
            "event_type": event_type,
            "entity_type": "UAS",
            "status": 0,
            "reason": None,
            "method": method,
            "body": None,
            "headers": None,
            "extra_params": None,
        } | more
        self.events.raise_event(parameters)

    def free(self, session: UaSession) -> None:
        self.sessions.pop(session.key, None)

    def violation(self, what: str) -> None:
        self.violations.append(what)

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # MI.

    def _readable(self) -> None:
        assert self._socket is not None
        while self._socket is not None:
            try:
                datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an earlier reply found nobody
            self._command(datagram, sender)

    def _command(self, datagram: bytes, sender: Any) -> None:
        try:
            request = json.loads(datagram)
            method, identifier = request["method"], request.get("id")
        except (ValueError, KeyError, TypeError):
            self._reply({"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}, sender)
            return
        params = request.get("params", {})
        name = _NAMES_SINCE_4_0.get(method, method) if self._version != "3.6" else method
        named = params if isinstance(params, dict) else {str(i): each for i, each in enumerate(params)}
        self.commands.append(MiCommand(name, named))
        fault = self._faults[name].pop(0) if self._faults.get(name) else None
        if fault is MiFault.LOSE_REQUEST:
            return
        try:
            if fault is MiFault.REFUSE:
                raise _MiCommandError(500, "Failed")
            result = self._run(name, params)
            reply: dict[str, Any] | bytes = {"jsonrpc": "2.0", "result": result, "id": identifier}
        except _MiCommandError as failure:
            reply = {"jsonrpc": "2.0", "error": failure.error, "id": identifier}
        except _UnprintableError:
            reply = b"500 Internal error"
        if fault is MiFault.LOSE_REPLY:
            return
        if fault is MiFault.PLAIN_TEXT:
            reply = b"500 Internal error"
        delay_s = self.reply_delay_s + (_LATE_REPLY_S if fault is MiFault.LATE_REPLY else 0.0)
        if self.events_before_replies:
            delay_s = max(delay_s, _OVERTAKEN_S)
        if delay_s > 0:
            self.spawn(self._reply_later(reply, sender, delay_s))
        else:
            self._reply(reply, sender)

    async def _reply_later(self, reply: dict[str, Any] | bytes, sender: Any, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._reply(reply, sender)

    def _reply(self, reply: dict[str, Any] | bytes, sender: Any) -> None:
        if self._socket is None or not sender:
            return
        payload = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        try:
            if self._mi_socket is None:
                self._socket.sendto(payload[:DATAGRAM_BYTES], sender)
                return
            # Over UNIX sockets mi_datagram replies from another one, which has no name.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                nameless.setblocking(False)
                nameless.sendto(payload[:DATAGRAM_BYTES], sender)
        except OSError:
            return

    def _run(self, name: str, params: Any) -> Any:
        if name not in _COMMANDS:
            raise _MiCommandError(-32601, "Method not found")
        given = _named_parameters(name, params)
        try:
            return getattr(self, f"_{name}")(**given)
        except CommandError as failure:
            raise _MiCommandError(500, _FAILURES[name]) from failure

    def _session(self, key: str) -> UaSession:
        session = self.sessions.get(key)
        if session is None:
            raise CommandError("no dialog found")
        return session

    def _ua_session_reply(self, key: str, method: str, code: Any, reason: str, **extras: str) -> str:
        self._check_extras(extras)
        reply = SipReply(int(code), reason, extras.get("body", ""), _headers_on_the_wire(extras))
        self._session(key).reply(method, reply)
        return "OK"

    def _ua_session_update(self, key: str, method: str, **extras: str) -> str:
        self._check_extras(extras)
        self._session(key).update(SipRequest(method, extras.get("body", ""), _headers_on_the_wire(extras)))
        return "OK"

    def _ua_session_terminate(self, key: str, **extras: str) -> str:
        self._check_extras(extras)
        self._session(key).terminate()
        return "OK"

    def _check_extras(self, extras: dict[str, str]) -> None:
        if "extra_headers" in extras and "body" not in extras:
            self.violation("extra_headers without body: uninitialised memory on the wire")
        if extras.get("content_type"):
            line = extras["content_type"]
            if not line.lower().startswith("content-type:") or not line.endswith("\r\n"):
                self.violation(f"content_type is no header line: {line!r}")
        if extras.get("extra_headers", "\r\n")[-2:] != "\r\n":
            self.violation("extra_headers do not end with CRLF")

    def _ua_session_list(self, key: str | None = None) -> Any:
        if key is None:
            if len(self.sessions) > LISTABLE_SESSIONS:
                raise _UnprintableError
            return [_listed(each) for each in self.sessions.values()]
        if not key.startswith("B2B.") or key.count(".") != 4:
            raise _MiCommandError(400, "Bad format for b2b key")
        if key not in self.sessions:
            raise _MiCommandError(404, "Entity not found")
        return _listed(self.sessions[key])

    def _event_subscribe(self, event: str, socket: str, expire: Any = 3600) -> str:
        if event != EVENT_NAME or not self.events.subscribe(socket, int(expire)):
            raise _MiCommandError(400, "Bad parameter value")
        if int(expire) > 0:
            self._subscribed.set()
        return "OK"

    def _subscribers_list(self, **_narrowed: str) -> Any:
        return self.events.listing()

    def _events_list(self) -> Any:
        return {"Events": [{"name": EVENT_NAME, "id": 8}]}

    def _uptime(self) -> Any:
        up_s = int(self._clock() - self._started_s)
        return {"Now": time.ctime(), "Up since": self._up_since, "Up time": f"{up_s} [sec]"}

    def count(self, method: str) -> int:
        """How many commands of that name arrived."""
        return Counter(each.method for each in self.commands)[method]


class _UnprintableError(Exception):
    """The reply does not fit the buffer."""


_FAILURES = {
    "ua_session_reply": "Failed to send reply",
    "ua_session_update": "Failed to send sequential request",
    "ua_session_terminate": "Failed to terminate session",
}


def _named_parameters(name: str, params: Any) -> dict[str, Any]:
    required, optional = _COMMANDS[name]
    wrong = _MiCommandError(-32602, "Invalid params", "Too few or too many parameters")
    if isinstance(params, list):
        for extras in optional:
            if len(params) == len(required) + len(extras):
                return dict(zip((*required, *extras), params, strict=True))
        raise wrong
    if not isinstance(params, dict) or not set(required) <= set(params):
        raise wrong
    extras_given = set(params) - set(required)
    if not any(extras_given == set(extras) for extras in optional):
        raise wrong
    return params


def _headers_on_the_wire(extras: dict[str, str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    if "body" in extras:
        line = extras.get("content_type") or "Content-Type: application/sdp\r\n"
        headers |= parse_header_lines(line)
        headers |= parse_header_lines(extras.get("extra_headers", ""))
    return headers


def _listed(session: UaSession) -> dict[str, Any]:
    return {
        "dlg": 1,
        "logic_key": "",
        "mod_name": "b2b_entities",
        "state": int(session.state),
        "last_invite_cseq": 1,
        "last_method": 1,
        "db_flag": 2,
        "from_tag": "t1",
        "to_tag": session.key,
        "cseq": {"caller": 1, "callee": 1},
        "contact": {"caller": "", "callee": ""},
    }
