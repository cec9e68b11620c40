"""The SIP messages that pass between the phone and OpenSIPS, as far as a connector can tell them apart."""

from collections.abc import Iterable
from dataclasses import dataclass, field


def parse_header_lines(lines: str) -> dict[str, str]:
    """Header lines as `extra_headers` carries them, names in lower case."""
    headers = {}
    for line in lines.replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


@dataclass(frozen=True, slots=True)
class SipReply:
    """A reply as it arrives at the phone. Header names are in lower case."""

    status: int
    reason: str
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SipRequest:
    """A request as it arrives at the phone. Header names are in lower case."""

    method: str
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


OK = SipReply(200, "OK")
CANCELING = SipReply(200, "canceling")
ACCEPTED = SipReply(202, "Accepted")
REQUEST_TIMEOUT = SipReply(408, "Request Timeout")
DOES_NOT_EXIST = SipReply(481, "Call/Transaction Does Not Exist")
REQUEST_TERMINATED = SipReply(487, "Request Terminated")
REQUEST_PENDING = SipReply(491, "Request Pending")
OVERLAPPING = SipReply(500, "Overlapping Requests", headers={"retry-after": "3"})
NO_CONNECTOR = SipReply(503, "No connector")
