"""What the phone offers, and what it reads from the answer (RFC 3264, RFC 8866)."""

from core.sdp.formats import TELEPHONE_EVENT, offered_formats
from core.sdp.session import SdpError, parse
from tools.caller.phone import Remote

TELEPHONE_EVENT_PAYLOAD_TYPE = 101
_CODECS = {"PCMU": 0, "PCMA": 8}


class AnswerError(Exception):
    """The answer is not one to what was offered; the message says why."""


def make_offer(address: str, port: int, codec: str, version: int, direction: str = "sendrecv") -> str:
    payload_type = _CODECS[codec]
    lines = (
        "v=0",
        f"o=phone 53655765 {2353687637 + version} IN IP4 {address}",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {payload_type} {TELEPHONE_EVENT_PAYLOAD_TYPE}",
        f"a=rtpmap:{payload_type} {codec}/8000",
        f"a=rtpmap:{TELEPHONE_EVENT_PAYLOAD_TYPE} telephone-event/8000",
        f"a=fmtp:{TELEPHONE_EVENT_PAYLOAD_TYPE} 0-15",
        "a=ptime:20",
        f"a={direction}",
    )
    return "\r\n".join((*lines, ""))


def read_answer(answer: str, codec: str, direction: str = "sendrecv") -> Remote:
    """Where the caller's packets go.

    Raises:
        AnswerError: it cannot be read, agrees on another codec, or does not mirror the direction.
    """
    try:
        description = parse(answer)
    except SdpError as error:
        raise AnswerError(f"the answer cannot be read: {error}") from error
    if len(description.media) != 1 or description.media[0].port == 0:
        raise AnswerError("the answer does not accept the one stream offered")
    media = description.media[0]
    formats = offered_formats(media)
    speech = [each for each in formats if each.is_speech]
    if [each.name.upper() for each in speech] != [codec]:
        raise AnswerError(f"the answer names {[each.name for each in speech]}, not {codec} alone")
    mirrored = {"sendonly": "recvonly", "inactive": "inactive", "sendrecv": "sendrecv"}[direction]
    if description.direction_of(media) != mirrored:
        raise AnswerError(f"{direction} was answered by {description.direction_of(media)}, not {mirrored}")
    connection = description.connection_of(media)
    if connection is None or connection.address_type != "IP4":
        raise AnswerError("the answer has no IPv4 address")
    keys = [each.payload_type for each in formats if each.name.lower() == TELEPHONE_EVENT]
    return Remote((connection.address, media.port), speech[0].payload_type, keys[0] if keys else None)
