"""The session description in a body, alone or as one part of several (RFC 2046 5.1, RFC 5621)."""

import re
from collections.abc import Mapping

from core.errors import OfferRejected
from core.transports.opensips.sip import media_type, parse_headers

_SDP = "application/sdp"
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARTS_MAX = 16


def session_description(body: str, headers: Mapping[str, str]) -> str:
    """The description, "" where the message has no body.

    Raises:
        OfferRejected: 415 where the body is something else.
    """
    content = media_type(headers)
    if not body.strip():
        return ""
    if content in ("", _SDP):
        return body
    if content.startswith("multipart/"):
        boundary = _BOUNDARY.search(headers.get("content-type", ""))
        if boundary is None:
            raise OfferRejected(400, "Multipart body without a boundary")
        for part in _parts(body, boundary.group(1) or boundary.group(2)):
            head, _, text = part.replace("\r\n", "\n").lstrip("\n").partition("\n\n")
            if media_type(parse_headers(head)) == _SDP:
                return text
    raise OfferRejected(415, "Unsupported Media Type")


def _parts(body: str, boundary: str) -> list[str]:
    pieces = re.split(rf"(?:^|\r?\n)--{re.escape(boundary)}", body, maxsplit=_PARTS_MAX)[1:]
    return [piece for piece in pieces if not piece.startswith("--")]
