"""What a stream sends is understood or refused, whatever it is (samples from Twilio's documentation)."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.transports.twilio.messages import (
    Connected,
    Dtmf,
    MalformedMessage,
    Mark,
    Media,
    Start,
    Stop,
    mark,
    parse,
)
from tests.core.transports.twilio.rig import STREAM_SID, media, start

DOCUMENTED: dict[str, tuple[str, object]] = {
    "connected": ('{"event": "connected", "protocol": "Call", "version": "1.0.0"}', Connected()),
    "start": (
        '{"event": "start", "sequenceNumber": "1", "start": {"accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1",'
        ' "tracks": ["inbound"], "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},'
        ' "customParameters": {"FirstName": "Jane"}}, "streamSid": "MZ1"}',
        Start("MZ1", "CA1", "AC1", {"FirstName": "Jane"}),
    ),
    "media": (
        '{"event": "media", "sequenceNumber": "3", "media": {"track": "inbound", "chunk": "1", "timestamp": "5",'
        ' "payload": "no+JhoaJjpz="}, "streamSid": "MZ1"}',
        Media(1, 5, 8),
    ),
    "dtmf": (
        '{"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "5",'
        ' "dtmf": {"track": "inbound_track", "digit": "1"}}',
        Dtmf("1"),
    ),
    "mark": (
        '{"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "my label"}}',
        Mark("my label"),
    ),
    "stop": (
        '{"event": "stop", "sequenceNumber": "5", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}}',
        Stop(),
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_message_is_understood(name: str) -> None:
    text, expected = DOCUMENTED[name]
    assert parse(text, None if name == "start" else "MZ1") == expected


def changed(message: Any, path: str, value: Any) -> str:
    *parents, last = path.split(".")
    at = message
    for parent in parents:
        at = at[parent]
    at[last] = value
    return json.dumps(message)


def other(event: str, body: object) -> str:
    return json.dumps({"event": event, "streamSid": STREAM_SID, event: body})


BAD: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "json"),
    "nested too deeply": ("[" * 100_000, "json"),
    "no object": ("[1]", "json"),
    "no event": ("{}", "event"),
    "event that is no text": ('{"event": ["media"]}', "event"),
    "unknown event": ('{"event": "video"}', "event"),
    "another stream's": (json.dumps(media(b"\xff", 1, "MZ2")), "stream_sid"),
    "no stream's": ('{"event": "stop"}', "stream_sid"),
    "media that is no object": (changed(media(b"\xff", 1), "media", "x"), "media"),
    "no payload": (changed(media(b"\xff", 1), "media.payload", None), "payload"),
    "empty payload": (changed(media(b"\xff", 1), "media.payload", ""), "payload"),
    "payload that is no base64": (changed(media(b"\xff", 1), "media.payload", "*/*="), "payload"),
    "payload that is not ASCII": (changed(media(b"\xff", 1), "media.payload", "ÿÿÿÿ"), "payload"),
    "payload without its padding": (changed(media(b"\xff", 1), "media.payload", "//8"), "payload"),
    "more than a second": (json.dumps(media(b"\xff" * 8001, 1)), "payload"),
    "far more than a second": (json.dumps(media(b"\xff" * 40_000, 1)), "payload"),
    "no time": (changed(media(b"\xff", 1), "media.timestamp", None), "number"),
    "time that is none": (changed(media(b"\xff", 1), "media.timestamp", "-1"), "number"),
    "time of many digits": (changed(media(b"\xff", 1), "media.timestamp", "9" * 5000), "number"),
    "fractional count": (changed(media(b"\xff", 1), "media.chunk", 1.5), "number"),
    "another codec": (changed(start(), "start.mediaFormat.encoding", "audio/opus"), "media_format"),
    "two channels": (changed(start(), "start.mediaFormat.channels", 2), "media_format"),
    "no format": (changed(start(), "start.mediaFormat", None), "media_format"),
    "no call": (changed(start(), "start.callSid", None), "start"),
    "empty stream": (changed(start(stream_sid=""), "streamSid", STREAM_SID), "stream_sid"),
    "two streams": (changed(start(), "start.streamSid", "MZ9"), "stream_sid"),
    "parameters that are none": (changed(start(), "start.customParameters", [1]), "parameters"),
    "parameter that is no text": (changed(start(), "start.customParameters", {"a": 1}), "parameters"),
    "too many parameters": (changed(start(), "start.customParameters", {str(n): "" for n in range(65)}), "parameters"),
    "two keys at once": (other("dtmf", {"digit": "12"}), "dtmf"),
    "no key": (other("dtmf", {"digit": ""}), "dtmf"),
    "a key no phone has": (other("dtmf", {"digit": "E"}), "dtmf"),
    "mark without a name": (other("mark", {}), "mark"),
    "mark of a long name": (other("mark", {"name": "x" * 65}), "mark"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_message_is_refused_for_what_is_wrong(name: str) -> None:
    text, reason = BAD[name]
    with pytest.raises(MalformedMessage) as refused:
        parse(text, STREAM_SID)
    assert refused.value.reason == reason


def test_what_the_caller_hears_is_not_taken_for_what_they_say() -> None:
    assert parse(json.dumps(media(b"\xff", 1, track="outbound")), STREAM_SID) is None


def test_mark_names_its_stream() -> None:
    assert parse(mark(STREAM_SID, "7"), STREAM_SID) == Mark("7")


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 10**9), st.integers(0, 10**12))
def test_any_audio_passes_with_its_time(audio: bytes, chunk: int, timestamp_ms: int) -> None:
    message = media(audio, chunk, timestamp=str(timestamp_ms))
    assert parse(json.dumps(message), STREAM_SID) == Media(chunk, timestamp_ms, len(audio))


def reason_of(text: str, stream_sid: str | None = None) -> str:
    try:
        parse(text, stream_sid)
    except MalformedMessage as refused:
        return refused.reason
    return "understood"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "clear"])


@given(EVENTS, st.dictionaries(st.sampled_from(["streamSid", "start", "media", "dtmf", "mark"]), JSON), st.booleans())
def test_nothing_but_malformed_is_ever_raised(event: str, rest: dict[str, Any], named: bool) -> None:
    message = {**rest, "event": event, **({"streamSid": STREAM_SID} if named else {})}
    assert reason_of(json.dumps(message), STREAM_SID).isidentifier()


@given(st.text(max_size=200))
def test_any_text_is_survived(text: str) -> None:
    assert reason_of(text).isidentifier()


@given(st.binary(min_size=1, max_size=100).map(lambda raw: base64.b64encode(raw).decode()), st.data())
def test_damaged_payload_is_refused_or_still_audio(payload: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(payload) - 1))
    damaged = payload[:at] + data.draw(st.characters()) + payload[at + 1 :]
    assert reason_of(json.dumps(media(b"", 1, payload=damaged)), STREAM_SID) in ("payload", "understood")
