"""OpenSIPS' management interface over datagrams: JSON-RPC 2.0, replies matched by id (modules/mi_datagram)."""

import asyncio
import json
import os
import socket
from dataclasses import dataclass
from itertools import count
from typing import Any

from core.errors import SignallingRefused, SignallingTimeout
from core.transports.opensips.interface import interface_towards

_REPLY_BYTES = 65536
_REPLIES_PER_WAKE = 64
# Without any reply for so many commands the peer is looked up anew: it may have moved.
_FAILURES_BEFORE_REOPENING = 3
_INVALID_REPLY = -32603


@dataclass(frozen=True, slots=True)
class MiAddress:
    """Where mi_datagram listens: a UNIX socket where `path` is given, else UDP."""

    host: str = "127.0.0.1"
    port: int = 8080
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"udp:{self.host}:{self.port}"


@dataclass(slots=True)
class MiCounters:
    """What went over MI. `late_replies` came after their command had been given up, or came twice."""

    commands: int = 0
    repeated: int = 0
    timeouts: int = 0
    refused: int = 0
    late_replies: int = 0
    invalid_replies: int = 0


@dataclass(slots=True)
class _Pending:
    method: str
    reply: asyncio.Future[Any]


class MiClient:
    """Sends commands and awaits their replies, on one socket for all of them."""

    def __init__(self, address: MiAddress, *, timeout_s: float = 0.5, in_flight_limit: int = 64) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._in_flight = asyncio.Semaphore(in_flight_limit)
        self._pending: dict[str, _Pending] = {}
        # So that a reply to a predecessor on the same address is never taken for ours.
        self._prefix = os.urandom(4).hex()
        self._numbers = count(1)
        self._socket: socket.socket | None = None
        self._remote: Any = None
        self._opening = asyncio.Lock()
        self._failures = 0
        self.counters = MiCounters()

    @property
    def local_ip(self) -> str | None:
        """Our address as OpenSIPS sees it; None before the first command, and over a UNIX socket."""
        return None if self._address.path or self._remote is None else interface_towards(self._remote[0])

    async def call(self, method: str, params: dict[str, Any] | None = None, *, repeatable: bool = False) -> Any:
        """Runs one command and returns its result.

        Args:
            repeatable: may be sent a second time when the first one stays without a reply.

        Raises:
            SignallingRefused: OpenSIPS answered with an error.
            SignallingTimeout: it did not answer, or cannot be reached.
        """
        identifier = f"{self._prefix}.{next(self._numbers)}"
        request = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}}
        payload = json.dumps(request).encode()
        self.counters.commands += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._in_flight.acquire()
        except TimeoutError as error:
            self.counters.timeouts += 1
            raise SignallingTimeout(f"{method}: too many commands are waiting for {self._address}") from error
        pending = _Pending(method, asyncio.get_running_loop().create_future())
        self._pending[identifier] = pending
        try:
            for attempt in range(2 if repeatable else 1):
                self.counters.repeated += attempt
                if (answered := await self._attempt(payload, pending)) is not None:
                    self._failures = 0
                    return answered[0]
        except SignallingRefused:
            self._failures = 0
            self.counters.refused += 1
            raise
        finally:
            self._in_flight.release()
            del self._pending[identifier]
            # It may have been refused in the very moment it was given up.
            if not pending.reply.cancel() and not pending.reply.cancelled():
                pending.reply.exception()
        self.counters.timeouts += 1
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_REOPENING and not self._pending:
            self.close()
        raise SignallingTimeout(f"{method}: no reply from {self._address}")

    async def _attempt(self, payload: bytes, pending: _Pending) -> tuple[Any] | None:
        """The result, in a tuple of its own, or None where no reply came in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                peer = self._socket or await self._open()
                peer.sendto(payload, self._remote)
                # The second attempt waits for the same reply: either one answers the command.
                return (await asyncio.shield(pending.reply),)
        except (TimeoutError, OSError):
            return None

    def post(self, method: str, params: dict[str, Any]) -> None:
        """Sends one command and forgets it, for where nothing can be awaited any more."""
        if self._socket is not None:
            request = {"jsonrpc": "2.0", "id": f"{self._prefix}.{next(self._numbers)}", "method": method}
            try:
                self._socket.sendto(json.dumps(request | {"params": params}).encode(), self._remote)
            except OSError:
                self.counters.timeouts += 1

    def close(self) -> None:
        """Closes the socket; the next command opens another."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def _open(self) -> socket.socket:
        async with self._opening:
            if self._socket is not None:
                return self._socket
            self._remote = await self._resolved()
            # Not connected: an ICMP error would reach a connected socket, and uvloop stops reading from it.
            family = socket.AF_UNIX if self._address.path else socket.AF_INET
            opened = socket.socket(family, socket.SOCK_DGRAM)
            opened.setblocking(False)
            # An abstract name for a UNIX socket: replies need somewhere to go, and no file is left behind.
            name = f"\0oavc-mi-{self._prefix}-{next(self._numbers)}"
            opened.bind(name if self._address.path else ("0.0.0.0", 0))
            asyncio.get_running_loop().add_reader(opened, self._readable)
            self._socket = opened
            return opened

    async def _resolved(self) -> Any:
        if self._address.path:
            return self._address.path
        found = await asyncio.get_running_loop().getaddrinfo(
            self._address.host, self._address.port, family=socket.AF_INET, type=socket.SOCK_DGRAM
        )
        return found[0][4]

    def _readable(self) -> None:
        for _ in range(_REPLIES_PER_WAKE):
            if self._socket is None:
                return
            try:
                datagram, sender = self._socket.recvfrom(_REPLY_BYTES)
            except OSError:
                return
            # Over a UNIX socket OpenSIPS replies from another one, which has no name.
            if sender == self._remote or (self._address.path and not sender):
                self._replied(datagram)
            else:
                self.counters.invalid_replies += 1

    def _replied(self, datagram: bytes) -> None:
        try:
            reply = json.loads(datagram.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
            self._unreadable(datagram)
            return
        pending = self._pending.get(str(reply.get("id")))
        if pending is None or pending.reply.done():
            self.counters.late_replies += 1
        elif "error" in reply:
            pending.reply.set_exception(_refusal(pending.method, reply["error"]))
        else:
            pending.reply.set_result(reply["result"])

    def _unreadable(self, datagram: bytes) -> None:
        """Plain text such as `500 Internal error` carries no id: with one command in flight it is that one's."""
        self.counters.invalid_replies += 1
        waiting = [each for each in self._pending.values() if not each.reply.done()]
        if len(waiting) == 1:
            text = datagram[:80].decode("ascii", "replace").strip()
            code = int(text[:3]) if text[:3].isdecimal() else _INVALID_REPLY
            waiting[0].reply.set_exception(SignallingRefused(waiting[0].method, code, text))


def _refusal(method: str, error: Any) -> SignallingRefused:
    if not isinstance(error, dict):
        return SignallingRefused(method, _INVALID_REPLY, str(error)[:80])
    code = error.get("code")
    reason = f"{error.get('message', '')} {error.get('data') or ''}".strip()
    return SignallingRefused(method, code if isinstance(code, int) else _INVALID_REPLY, reason[:200])
