"""The session description inside a SIP message's body (RFC 3261 7.4, RFC 2046 5.1, RFC 5621)."""

import re

from core.errors import OfferRejected
from core.sdp.reason import quotable

_SDP = "application/sdp"
_MAX_PARTS = 16
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*([^\r\n;]*)", re.IGNORECASE | re.MULTILINE)


def extract_sdp(content_type: str, body: bytes) -> bytes:
    """The session description, b"" where the message has no body: the offer is ours to make then.

    Raises:
        OfferRejected: 415 where the body is something else, 400 where its parts cannot be told apart.
    """
    if not body.strip():
        return b""
    media_type = content_type.partition(";")[0].strip().lower()
    # Without a type a body that begins like a session description is one.
    if media_type == _SDP or (not media_type and body.lstrip().startswith(b"v=")):
        return body
    if not media_type.startswith("multipart/"):
        named = f"Unsupported content type {quotable(media_type, 60)}"
        raise OfferRejected(415, named if media_type else "Body without content type")
    matched = _BOUNDARY.search(content_type)
    if matched is None:
        raise OfferRejected(400, "Multipart body without boundary")
    for part in _split(body, (matched[1] or matched[2]).encode("utf-8")):
        headers, content = _split_headers(part)
        named_type = _CONTENT_TYPE.search(headers)
        if named_type and named_type[1].strip().lower() == _SDP.encode():
            return content
    raise OfferRejected(415, "Multipart body holds no application/sdp")


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """The parts between delimiter lines; preamble and epilogue are dropped."""
    delimiter = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)")
    matches = list(delimiter.finditer(body))
    if not matches:
        raise OfferRejected(400, "Multipart body without its boundary")
    parts = []
    for at, match in enumerate(matches[:_MAX_PARTS]):
        if match[1]:
            break
        end = matches[at + 1].start() if at + 1 < len(matches) else len(body)
        parts.append(body[match.end() : end])
    return parts


def _split_headers(part: bytes) -> tuple[bytes, bytes]:
    """Headers and content of a part; a part that begins with an empty line has no headers."""
    match = _HEADERS_END.search(part)
    return (part[: match.start()], part[match.end() :]) if match else (part, b"")
