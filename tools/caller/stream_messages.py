"""What Twilio sends on one Media Stream, numbered as it does (Twilio, "Media Streams - WebSocket Messages")."""

import base64
import json
from collections.abc import Mapping

CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


class StreamMessages:
    """The messages of one stream after `connected`, in the order in which they are asked for."""

    def __init__(self, account_sid: str, call_sid: str, stream_sid: str, parameters: Mapping[str, str]) -> None:
        self._account_sid = account_sid
        self._call_sid = call_sid
        self._stream_sid = stream_sid
        self._parameters = dict(parameters)
        self._sequence_number = 0
        self._chunk = 0

    def start(self) -> str:
        body = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        return self._message("start", body)

    def media(self, payload: bytes, timestamp_ms: int) -> str:
        self._chunk += 1
        body = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(timestamp_ms),
            "payload": base64.b64encode(payload).decode("ascii"),
        }
        return self._message("media", body)

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        return self._message("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence_number += 1
        message = {"event": event, "sequenceNumber": str(self._sequence_number), event: body}
        return json.dumps(message | {"streamSid": self._stream_sid})
