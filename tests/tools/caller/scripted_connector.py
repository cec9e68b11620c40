"""A connector small enough to trust: subscribes, answers, and plays tones whose times it notes itself."""

import asyncio
import itertools
import json
import random
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from core.audio.codecs import create_codec
from core.rtp.packet import RtpPacket, serialise
from core.sdp.session import parse
from tools.caller.trace import AUDIBLE_DBFS, level_dbfs

GREETING_HZ = 400
ANSWER_HZ = (500, 600, 700, 800)
_FRAME = 160
_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "inactive": "inactive"}


def tone(frequency_hz: int, duration_ms: int) -> list[bytes]:
    """20 ms frames of PCM."""
    samples = np.arange(8 * duration_ms) / 8000
    pcm = np.round(6000 * np.sin(2 * np.pi * frequency_hz * samples)).astype("<i2").tobytes()
    return [pcm[start : start + 2 * _FRAME] for start in range(0, len(pcm), 2 * _FRAME)]


@dataclass
class Behaviour:
    """How the agent reacts, in frames of 20 ms."""

    greeting_ms: int = 100
    answer_after_frames: int = 8
    answer_ms: int = 240
    stop_after_frames: int = 3
    status: int = 200
    replies_to_invite: bool = True
    hangs_up_after_answers: int | None = None
    telephone_event: bool = True


@dataclass
class Call:
    """One call and what the connector itself noted about it."""

    key: str
    remote: tuple[str, int]
    codec: str
    rtp: socket.socket
    direction: str = "sendrecv"
    version: int = 1
    heard_last_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    interrupted_ns: list[int] = field(default_factory=list)
    silent_ns: list[int] = field(default_factory=list)
    digits: str = ""
    info: list[str] = field(default_factory=list)
    received: list[RtpPacket] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class ScriptedConnector:
    """Serves every call that the OpenSIPS at `mi_port` tells of."""

    def __init__(self, mi_port: int, behaviour: Behaviour | None = None) -> None:
        self._mi_port = mi_port
        self.behaviour = behaviour or Behaviour()
        self._ids = itertools.count()
        self.calls: dict[str, Call] = {}
        self.finished: list[Call] = []

    async def __aenter__(self) -> Self:
        self._mi, self._events = _udp(), _udp()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._mi, self._drain)
        loop.add_reader(self._events, self._event)
        self.subscribe()
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in list(self.calls.values()):
            self._end(call)
        await asyncio.gather(*(call.task for call in self.finished if call.task), return_exceptions=True)
        for opened in (self._mi, self._events):
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()

    def subscribe(self) -> None:
        port = self._events.getsockname()[1]
        self._command("event_subscribe", {"event": "E_UA_SESSION", "socket": f"udp:127.0.0.1:{port}", "expire": 60})

    def _drain(self) -> None:
        """Replies are not looked at."""
        self._mi.recv(65536)

    def _command(self, method: str, params: dict[str, Any]) -> None:
        request = {"jsonrpc": "2.0", "id": str(next(self._ids)), "method": method, "params": params}
        self._mi.sendto(json.dumps(request).encode(), ("127.0.0.1", self._mi_port))

    def _event(self) -> None:
        event = json.loads(self._events.recv(65536))["params"]
        key, kind, method = event["key"], event["event_type"], event["method"]
        if event["status"]:
            return
        if kind == "NEW":
            self._invited(key, event["body"])
        elif key in self.calls:
            call = self.calls[key]
            if method == "BYE":
                self._end(call)
            elif method == "CANCEL":
                self._reply(key, "INVITE", 487, "Request Terminated")
                self._command("ua_session_terminate", {"key": key})
                self._end(call)
            elif method == "ACK" and call.task is None:
                call.task = asyncio.create_task(self._converse(call))
            elif method == "INVITE":
                description = parse(event["body"])
                call.direction = description.direction_of(description.media[0])
                call.version += 1
                self._reply(key, "INVITE", 200, "OK", self._answer(call))
            elif method == "INFO":
                call.info.append(event["body"])
                self._reply(key, "INFO", 200, "OK")

    def _invited(self, key: str, offer: str) -> None:
        media = (description := parse(offer)).media[0]
        connection = description.connection_of(media)
        assert connection is not None
        codec = {"0": "PCMU", "8": "PCMA"}[media.formats[0]]
        call = self.calls[key] = Call(key, (connection.address, media.port), codec, _udp())
        if not self.behaviour.replies_to_invite:
            return
        status = self.behaviour.status
        self._reply(key, "INVITE", status, "OK" if status == 200 else "Refused", self._answer(call))
        if status >= 300:
            self._command("ua_session_terminate", {"key": key})
            self._end(call)

    def _answer(self, call: Call) -> str:
        payload_type = {"PCMU": 0, "PCMA": 8}[call.codec]
        keys = self.behaviour.telephone_event
        lines = [
            "v=0",
            f"o=agent 1 {call.version} IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m=audio {call.rtp.getsockname()[1]} RTP/AVP {payload_type}{' 101' if keys else ''}",
            *(["a=rtpmap:101 telephone-event/8000"] if keys else []),
            f"a={_MIRRORED[call.direction]}",
            "",
        ]
        return "\r\n".join(lines)

    def _reply(self, key: str, method: str, code: int, reason: str, body: str = "") -> None:
        params = {"key": key, "method": method, "code": code, "reason": reason, "body": body}
        self._command("ua_session_reply", params)

    def _end(self, call: Call) -> None:
        self.calls.pop(call.key, None)
        self.finished.append(call)
        if call.task is not None:
            call.task.cancel()
        call.rtp.close()

    async def _converse(self, call: Call) -> None:
        """Sends a frame every 20 ms: what is queued, else silence; listens in between."""
        behaviour, chance, codec = self.behaviour, random.Random(call.key), create_codec(call.codec)
        sequence, timestamp, ssrc = chance.randrange(65536), chance.randrange(2**32), chance.randrange(2**32)
        playing = tone(GREETING_HZ, behaviour.greeting_ms)
        speaking_frames = quiet_frames = answers = 0
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            audible = self._listen(call)
            if audible:
                speaking_frames, quiet_frames = speaking_frames + audible, 0
                if playing and answers and speaking_frames >= behaviour.stop_after_frames:
                    playing = []
                    call.silent_ns.append(time.time_ns())
            else:
                quiet_frames += 1
            if speaking_frames >= 3 and quiet_frames == behaviour.answer_after_frames:
                playing = tone(ANSWER_HZ[answers % len(ANSWER_HZ)], behaviour.answer_ms)
                answers, speaking_frames = answers + 1, 0
                call.answered_ns.append(time.time_ns())
            if behaviour.hangs_up_after_answers == answers and not playing and answers:
                self._command("ua_session_update", {"key": call.key, "method": "BYE", "body": ""})
                self._end(call)
            pcm = playing.pop(0) if playing else bytes(2 * _FRAME)
            if call.direction != "inactive":
                payload_type = {"PCMU": 0, "PCMA": 8}[call.codec]
                call.rtp.sendto(serialise(payload_type, sequence, timestamp, ssrc, codec.encode(pcm)), call.remote)
                sequence = (sequence + 1) % 65536
            timestamp = (timestamp + _FRAME) % 2**32
            due_s += 0.02
            await asyncio.sleep(due_s - loop.time())

    def _listen(self, call: Call) -> int:
        """How many audible frames have come since the last look."""
        codec, audible = create_codec(call.codec), 0
        while True:
            try:
                packet = RtpPacket.parse(call.rtp.recv(2048))
            except BlockingIOError:
                return audible
            call.received.append(packet)
            if packet.payload_type == 101:
                if packet.marker:
                    call.digits += "0123456789*#ABCD"[packet.payload[0]]
            elif level_dbfs(codec.decode(packet.payload)) > AUDIBLE_DBFS:
                audible += 1
                call.heard_last_ns.append(time.time_ns())


def _udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setblocking(False)
    return opened
