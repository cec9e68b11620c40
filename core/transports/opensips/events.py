"""E_UA_SESSION events: one datagram is one message, whatever its bytes."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.transports.opensips.sip import parse_headers

_log = logging.getLogger(__name__)

_EVENT_NAME = "E_UA_SESSION"
_DATAGRAM_BYTES = 65536
_DATAGRAMS_PER_WAKE = 64
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_METHOD = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,32}")
_RECEIVE_BUFFER_BYTES = 1 << 20


class EventRejectedError(ValueError):
    """The datagram is no event of a UA session."""


@dataclass(frozen=True, slots=True)
class UaSessionEvent:
    """One event of one session.

    Attributes:
        key: OpenSIPS' name of the session, in every event and command.
        event_type: NEW, EARLY, ANSWERED, REJECTED, UPDATED or TERMINATED.
        status: of the reply to a request of ours; 0 where the event is a request.
        headers: names in lower case; empty unless the script asked for them (flag h).
        extra_params: what the script passed, on NEW only.
    """

    key: str
    event_type: str
    method: str
    status: int = 0
    reason: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_params: str = ""


def parse_event(datagram: bytes) -> UaSessionEvent:
    """Reads one datagram.

    Raises:
        EventRejectedError: it is no event of a UA session.
    """
    try:
        # Header bytes travel raw, and a Latin-1 one makes the datagram invalid UTF-8.
        message = json.loads(datagram.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise EventRejectedError("no JSON") from error
    if not isinstance(message, dict) or message.get("method") != _EVENT_NAME:
        raise EventRejectedError("another message")
    params = message.get("params")
    if not isinstance(params, dict):
        raise EventRejectedError("no parameters")
    key, method = _text(params, "key"), _text(params, "method")
    if not _KEY.fullmatch(key):
        raise EventRejectedError("no session key")
    if method and not _METHOD.fullmatch(method):
        raise EventRejectedError("no SIP method")
    return UaSessionEvent(
        key=key,
        event_type=_text(params, "event_type"),
        method=method.upper(),
        status=_status(params.get("status")),
        reason=_text(params, "reason"),
        body=_text(params, "body"),
        headers=parse_headers(_text(params, "headers")),
        extra_params=_text(params, "extra_params"),
    )


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise EventRejectedError(f"{name} is no text")
    # An escaped lone surrogate could be encoded neither for MI nor for a log.
    return value.encode("utf-8", "replace").decode()


def _status(value: Any) -> int:
    if value is None:
        return 0
    try:
        status = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise EventRejectedError("status is no number") from error
    if not 0 <= status <= 699:
        raise EventRejectedError("no SIP status")
    return status


class EventSocket:
    """Receives events and hands on each of them at once.

    Attributes:
        received: datagrams so far.
        rejected: how many of them were no event.
    """

    def __init__(self, on_event: Callable[[UaSessionEvent], None]) -> None:
        self._on_event = on_event
        self._socket: socket.socket | None = None
        self.received = 0
        self.rejected = 0

    def open(self, ip: str, port: int) -> int:
        """Binds and begins to receive; returns the port.

        Raises:
            OSError: the address cannot be bound.
        """
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            # OpenSIPS repeats nothing: what does not fit while the loop is busy is lost.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            bound.bind((ip, port))
        except OSError:
            bound.close()
            raise
        asyncio.get_running_loop().add_reader(bound, self._readable)
        self._socket = bound
        return int(bound.getsockname()[1])

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        for _ in range(_DATAGRAMS_PER_WAKE):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue
            self.received += 1
            try:
                event = parse_event(datagram)
            except EventRejectedError:
                self.rejected += 1
                continue
            try:
                self._on_event(event)
            except Exception:
                # A defect that one event brings to light must not cost the next call its events.
                _log.exception("event failed", extra={"session_key": event.key})
