"""SIP header blocks and addresses as events carry them (RFC 3261 7.3, 20.10, 25.1): parsing never fails."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

# RFC 3261 7.3.3 and the registry of header fields.
_COMPACT_FORMS = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
_ANONYMOUS_HOST = "anonymous.invalid"
# display name, quoted or not; then the address in angle brackets; then header parameters.
_NAME_ADDR = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^>]*)>(.*)', re.DOTALL)
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,]+)", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d{1,10})\b")


@dataclass(frozen=True, slots=True)
class Address:
    """What a From, To or Refer-To header says. Everything that is missing is ""."""

    display: str = ""
    uri: str = ""
    user: str = ""
    host: str = ""
    tag: str = ""


def parse_headers(block: str) -> dict[str, str]:
    """Names in lower case and long form; repeated headers joined by commas, folded lines unfolded."""
    headers: dict[str, str] = {}
    last = ""
    for line in block.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line[:1] in (" ", "\t"):
            if last and line.strip():
                headers[last] = f"{headers[last]} {line.strip()}"
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            continue
        last = _COMPACT_FORMS.get(name, name)
        value = value.strip()
        headers[last] = f"{headers[last]}, {value}" if last in headers else value
    return headers


def parse_address(value: str) -> Address:
    """A name-addr or addr-spec with its parameters."""
    match = _NAME_ADDR.match(value)
    if match:
        quoted, plain, uri, parameters = match.groups()
        display = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip()
    else:
        # Without angle brackets what follows a semicolon belongs to the header (RFC 3261 20).
        uri, semicolon, rest = value.strip().partition(";")
        display, parameters = "", semicolon + rest
    tag = _TAG.search(parameters)
    user, host = _user_and_host(uri)
    return Address(display, uri.strip(), user, host, tag.group(1) if tag else "")


def caller_of(headers: Mapping[str, str]) -> str:
    """User part of From, "" where the caller withheld it (RFC 3323 4.1.1.3)."""
    address = parse_address(headers.get("from", ""))
    return "" if address.host.lower() == _ANONYMOUS_HOST else address.user


def called_of(headers: Mapping[str, str]) -> str:
    return parse_address(headers.get("to", "")).user


def cseq_number(headers: Mapping[str, str]) -> int | None:
    match = _NUMBER.match(headers.get("cseq", ""))
    return int(match.group(1)) if match else None


def media_type(headers: Mapping[str, str]) -> str:
    """Of the body: type and subtype in lower case, "" where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def header_value(text: str) -> str:
    """Text that cannot end its header line."""
    return " ".join(text.split())


def _user_and_host(uri: str) -> tuple[str, str]:
    scheme, colon, rest = uri.strip().partition(":")
    if not colon:
        return "", ""
    if scheme.lower() == "tel":
        return unquote(rest.partition(";")[0]), ""
    userinfo, at, hostport = rest.rpartition("@")
    user = unquote(userinfo.partition(":")[0].partition(";")[0]) if at else ""
    hostport = re.split(r"[;?]", hostport, maxsplit=1)[0]
    host = hostport.partition("]")[0] + "]" if hostport.startswith("[") else hostport.partition(":")[0]
    return user, host.strip()
