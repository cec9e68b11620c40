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
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from tools.caller.evi import EVENT_NAME, EventFaults, EventInterface
from tools.caller.mi import MiCommand, MiCommandError, MiFault, MiInterface, UnprintableError
from tools.caller.sip import NO_CONNECTOR, SipReply, SipRequest, parse_header_lines
from tools.caller.sip_call import SDP, SipCall
from tools.caller.ua_session import CommandError, PhoneAnswers, UaSession

LISTABLE_SESSIONS = 150
"""More sessions than this make a listing too long for its buffer, and the reply is not JSON."""


class OpenSipsStandIn:
    """One OpenSIPS, with as many phones as calls.

    Attributes:
        sessions: every UA session OpenSIPS still holds, by its key.
        violations: what a connector must never do to OpenSIPS.
        sip_timeout_s: how long a phone waits for a final reply to a request within a call.
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
        self._mi = MiInterface(self._run, self.spawn, host, mi_port, mi_socket, names_since_4_0=version != "3.6")
        self._guard = guard
        self._clock = clock
        self._random = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._started_s = 0.0
        self._up_since = ""
        self._subscribed = asyncio.Event()
        self.report_ack = report_ack
        self.sip_timeout_s = sip_timeout_s
        self.events = EventInterface(clock, seed, faults or EventFaults())
        self.sessions: dict[str, UaSession] = {}
        self.violations: list[str] = []

    @property
    def mi_port(self) -> int:
        return self._mi.port

    @property
    def commands(self) -> list[MiCommand]:
        """Every MI command that arrived since the start, lost ones included."""
        return self._mi.commands

    @property
    def reply_delay_s(self) -> float:
        """How long OpenSIPS takes for a command."""
        return self._mi.reply_delay_s

    @reply_delay_s.setter
    def reply_delay_s(self, delay_s: float) -> None:
        self._mi.reply_delay_s = delay_s

    @property
    def events_before_replies(self) -> bool:
        """The event that a command causes leaves before the command's own reply."""
        return self._mi.events_before_replies

    @events_before_replies.setter
    def events_before_replies(self, before: bool) -> None:
        self._mi.events_before_replies = before

    # OpenSIPS' life.

    async def start(self) -> None:
        """Opens MI, on the same port as before after a `stop`.

        Raises:
            OSError: another program has the port.
        """
        self._mi.open()
        self._started_s = self._clock()
        self._up_since = time.ctime()
        self.events.open(self._host)

    async def stop(self) -> None:
        """Ends OpenSIPS: sessions and subscriptions are forgotten, and nobody is told."""
        self._mi.close()
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
        self._mi.fail(method, *faults)

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

    # MI's commands.

    def _run(self, name: str, params: dict[str, Any]) -> Any:
        try:
            return getattr(self, f"_{name}")(**params)
        except CommandError as failure:
            raise MiCommandError(500, _FAILURES[name]) from failure

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
                raise UnprintableError
            return [_listed(each) for each in self.sessions.values()]
        if not key.startswith("B2B.") or key.count(".") != 4:
            raise MiCommandError(400, "Bad format for b2b key")
        if key not in self.sessions:
            raise MiCommandError(404, "Entity not found")
        return _listed(self.sessions[key])

    def _event_subscribe(self, event: str, socket: str, expire: Any = 3600) -> str:
        if event != EVENT_NAME or not self.events.subscribe(socket, int(expire)):
            raise MiCommandError(400, "Bad parameter value")
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


_FAILURES = {
    "ua_session_reply": "Failed to send reply",
    "ua_session_update": "Failed to send sequential request",
    "ua_session_terminate": "Failed to terminate session",
}


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
