"""The messages of a Media Streams socket, both ways (twilio.com/docs/voice/media-streams/websocket-messages)."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.rtp.dtmf import KEYS

ENCODING = "audio/x-mulaw"
SAMPLE_RATE_HZ = 8000
# A second of µ-law; Twilio sends 20 ms.
_PAYLOAD_BYTES_MAX = SAMPLE_RATE_HZ
_PAYLOAD_CHARS_MAX = (_PAYLOAD_BYTES_MAX + 2) // 3 * 4
_SID_CHARS_MAX = 64
_MARK_CHARS_MAX = 64
_NUMBER_DIGITS_MAX = 15
_PARAMETERS_MAX = 64
_PARAMETER_CHARS_MAX = 2000


class MalformedMessage(ValueError):
    """That is no message of Twilio's. `reason` is one of a few words, for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket's first message."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the stream is, told once, before any media."""

    stream_sid: str
    call_sid: str
    account_sid: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """A stretch of the caller's audio.

    Attributes:
        chunk: counts this stream's media messages, from 1; 0 where it was not told.
        timestamp_ms: where the audio begins, since the stream did.
        size_bytes: of the µ-law audio, one a sample.
    """

    chunk: int
    timestamp_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What was sent before the mark of that name was played, or dropped by `clear`."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream is over: the caller hung up, or the call goes on elsewhere."""


Message = Connected | Start | Media | Dtmf | Mark | Stop


def parse(text: str, stream_sid: str | None = None) -> Message | None:
    """A message; None for media that is not the caller's.

    Args:
        stream_sid: what every message but `connected` must name; None before `start`.

    Raises:
        MalformedMessage: it is not one, or belongs to another stream.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("json") from error
    if not isinstance(message, dict):
        raise MalformedMessage("json")
    event = message.get("event")
    if event == "connected":
        return Connected()
    if event not in ("start", "media", "dtmf", "mark", "stop"):
        raise MalformedMessage("event")
    if stream_sid is not None and message.get("streamSid") != stream_sid:
        raise MalformedMessage("stream_sid")
    if event == "stop":
        return Stop()
    body = message.get(event)
    if not isinstance(body, dict):
        raise MalformedMessage(event)
    match event:
        case "start":
            return _start(message, body)
        case "media":
            return _media(body)
        case "dtmf":
            return _dtmf(body)
        case _:
            return Mark(_text(body, "name", _MARK_CHARS_MAX, "mark"))


def mark(stream_sid: str, name: str) -> str:
    """Asks to be told when what was sent before has been played."""
    return json.dumps({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}})


def _start(message: Mapping[str, Any], body: Mapping[str, Any]) -> Start:
    media_format = body.get("mediaFormat")
    if not isinstance(media_format, dict) or (
        media_format.get("encoding"),
        str(media_format.get("sampleRate")),
        str(media_format.get("channels")),
    ) != (ENCODING, str(SAMPLE_RATE_HZ), "1"):
        raise MalformedMessage("media_format")
    stream_sid = _text(body, "streamSid", _SID_CHARS_MAX, "start")
    if not stream_sid or message.get("streamSid", stream_sid) != stream_sid:
        raise MalformedMessage("stream_sid")
    return Start(
        stream_sid=stream_sid,
        call_sid=_text(body, "callSid", _SID_CHARS_MAX, "start"),
        account_sid=_text(body, "accountSid", _SID_CHARS_MAX, "start"),
        parameters=_parameters(body.get("customParameters")),
    )


def _media(body: Mapping[str, Any]) -> Media | None:
    payload = body.get("payload")
    if not isinstance(payload, str) or not 0 < len(payload) <= _PAYLOAD_CHARS_MAX:
        raise MalformedMessage("payload")
    try:
        audio = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("payload") from error
    if not 0 < len(audio) <= _PAYLOAD_BYTES_MAX:
        raise MalformedMessage("payload")
    if body.get("track", "inbound") != "inbound":
        return None
    return Media(_number(body.get("chunk", "0")), _number(body.get("timestamp")), len(audio))


def _dtmf(body: Mapping[str, Any]) -> Dtmf:
    digit = _text(body, "digit", 1, "dtmf").upper()
    if digit not in KEYS or not digit:
        raise MalformedMessage("dtmf")
    return Dtmf(digit)


def _text(body: Mapping[str, Any], name: str, chars_max: int, reason: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > chars_max:
        raise MalformedMessage(reason)
    return value


def _number(value: object) -> int:
    text = str(value) if isinstance(value, int | str) else ""
    if not text.isascii() or not text.isdigit() or len(text) > _NUMBER_DIGITS_MAX:
        raise MalformedMessage("number")
    return int(text)


def _parameters(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _PARAMETERS_MAX:
        raise MalformedMessage("parameters")
    if not all(isinstance(each, str) and len(each) <= _PARAMETER_CHARS_MAX for each in value.values()):
        raise MalformedMessage("parameters")
    return dict(value)
