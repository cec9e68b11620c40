"""Instructions to Twilio: what a call does next (twilio.com/docs/voice/twiml)."""

import re
from xml.sax.saxutils import escape, quoteattr

CONTENT_TYPE = "application/xml"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
_SIP_URI = re.compile(r"sips?:[^\s<>\"\x00-\x1f\x7f]{1,250}", re.IGNORECASE)
_SEPARATORS = re.compile(r"[ ().-]")


def connect_stream(stream_url: str) -> str:
    """The call's audio goes to the socket and back; when the socket closes, the call ends, for nothing follows."""
    return _response(_connect(stream_url))


def reject() -> str:
    """The call is not answered: the caller hears that it is busy, and is not charged."""
    return _response('<Reject reason="busy"/>')


def hang_up() -> str:
    return _response("<Hangup/>")


def play_digits(digits: str, stream_url: str) -> str:
    """Presses keys, then gives the audio back."""
    return _response(f"<Play digits={quoteattr(digits)}/>{_connect(stream_url)}")


def dial(target: str, *, caller_id: str, action_url: str, timeout_s: int) -> str:
    """Connects the caller with a number or a SIP URI; `action_url` is asked what follows.

    Raises:
        ValueError: it is neither.
    """
    attributes = f'timeout="{timeout_s}" action={quoteattr(action_url)}'
    if caller_id:
        attributes += f" callerId={quoteattr(caller_id)}"
    return _response(f"<Dial {attributes}>{noun(target)}</Dial>")


def noun(target: str) -> str:
    """What is to be dialled.

    Raises:
        ValueError: it is neither a number nor a SIP URI.
    """
    if _SIP_URI.fullmatch(target):
        return f"<Sip>{escape(target)}</Sip>"
    number = _SEPARATORS.sub("", target.removeprefix("tel:").partition(";")[0])
    if not _NUMBER.fullmatch(number):
        raise ValueError("the target is neither a number nor a sip: address")
    return f"<Number>{number}</Number>"


def _connect(stream_url: str) -> str:
    return f"<Connect><Stream url={quoteattr(stream_url)}/></Connect>"


def _response(verbs: str) -> str:
    return f"{_HEAD}<Response>{verbs}</Response>"
