"""OpenSIPS' management interface over datagrams: one JSON-RPC command each, and what can happen to it (mi_datagram)."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

DATAGRAM_BYTES = 65457
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


class MiCommandError(Exception):
    """The command failed; `error` is what the reply says of it."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class UnprintableError(Exception):
    """The reply does not fit the buffer."""


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


class MiInterface:
    """One OpenSIPS' socket, or its UDP port, from `open` to `close`.

    Attributes:
        port: 0 until it is first opened, then the same one for ever.
        commands: every command that arrived since the start, lost ones included.
        reply_delay_s: how long OpenSIPS takes for a command.
        events_before_replies: the event that a command causes leaves before the command's own reply.
    """

    def __init__(
        self,
        run: Callable[[str, dict[str, Any]], Any],
        spawn: Callable[[Awaitable[None]], None],
        host: str,
        port: int,
        path: Path | None,
        *,
        names_since_4_0: bool,
    ) -> None:
        """`run` does a command and returns its result; `spawn` keeps what is done later; `path` is of a UNIX socket."""
        self._run = run
        self._spawn = spawn
        self._host = host
        self._path = path
        self._names = _NAMES_SINCE_4_0 if names_since_4_0 else {}
        self._socket: socket.socket | None = None
        self._faults: dict[str, list[MiFault]] = {}
        self.port = port
        self.commands: list[MiCommand] = []
        self.reply_delay_s = 0.0
        self.events_before_replies = False

    def open(self) -> None:
        """Raises: OSError, another program has the port."""
        opened = socket.socket(socket.AF_INET if self._path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
                opened.bind(str(self._path))
            else:
                opened.bind((self._host, self.port))
                self.port = opened.getsockname()[1]
        except OSError:
            opened.close()
            raise
        opened.setblocking(False)
        self._socket = opened
        asyncio.get_running_loop().add_reader(opened, self._readable)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def fail(self, method: str, *faults: MiFault) -> None:
        """The next commands of that name fail so, one after the other."""
        self._faults.setdefault(method, []).extend(faults)

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
        name = self._names.get(method, method)
        named = params if isinstance(params, dict) else {str(i): each for i, each in enumerate(params)}
        self.commands.append(MiCommand(name, named))
        fault = self._faults[name].pop(0) if self._faults.get(name) else None
        if fault is MiFault.LOSE_REQUEST:
            return
        try:
            if fault is MiFault.REFUSE:
                raise MiCommandError(500, "Failed")
            result = self._run(name, named_parameters(name, params))
            reply: dict[str, Any] | bytes = {"jsonrpc": "2.0", "result": result, "id": identifier}
        except MiCommandError as failure:
            reply = {"jsonrpc": "2.0", "error": failure.error, "id": identifier}
        except UnprintableError:
            reply = b"500 Internal error"
        if fault is MiFault.LOSE_REPLY:
            return
        if fault is MiFault.PLAIN_TEXT:
            reply = b"500 Internal error"
        delay_s = self.reply_delay_s + (_LATE_REPLY_S if fault is MiFault.LATE_REPLY else 0.0)
        if self.events_before_replies:
            delay_s = max(delay_s, _OVERTAKEN_S)
        if delay_s > 0:
            self._spawn(self._reply_later(reply, sender, delay_s))
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
            if self._path is None:
                self._socket.sendto(payload[:DATAGRAM_BYTES], sender)
                return
            # Over UNIX sockets mi_datagram replies from another one, which has no name.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                nameless.setblocking(False)
                nameless.sendto(payload[:DATAGRAM_BYTES], sender)
        except OSError:
            return


def named_parameters(name: str, params: Any) -> dict[str, Any]:
    """By position or by name, as OpenSIPS takes them.

    Raises:
        MiCommandError: there is no such command, or not with these parameters.
    """
    if name not in _COMMANDS:
        raise MiCommandError(-32601, "Method not found")
    required, optional = _COMMANDS[name]
    wrong = MiCommandError(-32602, "Invalid params", "Too few or too many parameters")
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
