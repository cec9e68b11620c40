"""What a peer sent, made fit for the reason phrase of a SIP reply (RFC 3261 25.1)."""

import re


def quotable(text: str, length: int) -> str:
    """The beginning of a text, in printable ASCII without quotation marks."""
    return re.sub(r"[^\x20\x21\x23-\x7e]", "?", text[:length])
