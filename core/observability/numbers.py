"""Phone numbers as a log may show them: enough to recognise one's own, too little to call anybody."""

import re

_SHOWN_AT_START = 3
_SHOWN_AT_END = 2
# Shorter than this, nothing but the end would be left to hide.
_SIZE_MIN = 8
_SIP_URI = re.compile(r"\b(sips?:)([^\s@<>\"']+)@", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[ ().-]?\d){5,}")


def masked(number: str) -> str:
    """A number or SIP URI with most of its digits, or of its user part, starred out."""
    scheme, user, host = _parts(number)
    shown_at_start = _SHOWN_AT_START if len(user) >= _SIZE_MIN else 0
    hidden = max(len(user) - shown_at_start - _SHOWN_AT_END, min(len(user), 2))
    return f"{scheme}{user[:shown_at_start]}{'*' * hidden}{user[shown_at_start + hidden :]}{host}"


def without_numbers(text: str) -> str:
    """Somebody else's text with every phone number and user of a SIP URI in it masked."""
    text = _SIP_URI.sub(lambda uri: f"{masked(uri[0] + 'host').removesuffix('host')}", text)
    return _NUMBER.sub(lambda number: masked(number[0]), text)


def _parts(number: str) -> tuple[str, str, str]:
    scheme, colon, rest = number.rpartition(":") if "@" not in number else number.partition(":")
    user, at, host = rest.partition("@")
    return scheme + colon, user, at + host
