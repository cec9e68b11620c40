"""The media of one phone: what it says, what it hears, every packet of both (RFC 3550, RFC 3551 4.5.14, RFC 4733)."""

import random
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from core.audio.codecs import create_codec
from core.rtp.packet import RtpError, RtpPacket, serialise
from tools.caller import kernel_time
from tools.caller.ear import Ear
from tools.caller.impairments import Impairments
from tools.caller.key_presses import key_press_packets
from tools.caller.script import CallScript
from tools.caller.trace import (
    PTIME_MS,
    SAMPLE_RATE_HZ,
    SILENT_DBFS,
    ReceivedPacket,
    SentPacket,
    Trace,
    level_dbfs,
)
from tools.caller.voice import Block, Voice

_SAMPLES = SAMPLE_RATE_HZ * PTIME_MS // 1000
_MAX_DATAGRAM_BYTES = 2048
_RECEIVE_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the agent's answer wants the caller's packets, and how."""

    address: tuple[str, int]
    payload_type: int
    dtmf_payload_type: int | None


class Phone:
    """One call's RTP socket, from its opening to `close`.

    `say`, `press` and the attributes are for the script's thread, `tick` and `receive` for the wire's two.

    Attributes:
        ssrc: of all that is sent.
        sending: False while the call is on hold: nothing leaves, and the RTP clock runs on.
    """

    def __init__(self, address: str, script: CallScript, stream: int) -> None:
        self._codec = create_codec(script.codec)
        first, random_number = script.first_sequence_number, random.Random()
        self._sequence_number = random_number.randrange(65536) if first is None else first
        start = script.first_timestamp
        self._timestamp = random_number.randrange(2**32) if start is None else start
        self.ssrc = random_number.randrange(2**32)
        self._impairments = Impairments(script.network, stream)
        self._voice = Voice(script.codec, script.network, stream)
        self._speech: deque[Block] = deque()
        self._keys: deque[tuple[bytes, bool, int]] = deque()
        self._remote: Remote | None = None
        self._talking = False
        self.rtp, self.rtcp = _port_pair(address)
        self.ear = Ear()
        self.trace = Trace(codec=script.codec)
        self.sending = True
        self.closed = False

    @property
    def local_port(self) -> int:
        port: int = self.rtp.getsockname()[1]
        return port

    def connect(self, remote: Remote) -> None:
        """From now on packets go there."""
        self.trace.payload_type = remote.payload_type
        self._remote = remote

    def say(self, pcm: bytes, utterance: int | None) -> None:
        """Queues 16-bit PCM at 8 kHz behind what is still being said."""
        self._speech.extend(self._voice.speech(pcm, utterance))

    def press(self, digits: str) -> None:
        """Queues key presses; nothing is said meanwhile.

        Raises:
            ValueError: the agent takes no telephone events.
        """
        if self._remote is None or self._remote.dtmf_payload_type is None:
            raise ValueError("the answer has no telephone-event")
        for digit in digits:
            self._keys.extend(key_press_packets(digit))

    @property
    def busy(self) -> bool:
        """Whether something queued has not gone out yet."""
        return bool(self._speech or self._keys)

    def tick(self) -> list[tuple[float, bytes, tuple[str, int]]]:
        """Called every 20 ms: what leaves now, each with the delay that the network adds to it in ms."""
        remote = self._remote
        timestamp = self._timestamp
        self._timestamp = (timestamp + _SAMPLES) % 2**32
        if remote is None or not self.sending:
            self._talking = False
            return []
        if self._keys and remote.dtmf_payload_type is not None:
            payload, marker, samples_back = self._keys.popleft()
            block = Block(payload, SILENT_DBFS, None)
            timestamp = (timestamp - samples_back) % 2**32
            payload_type = remote.dtmf_payload_type
        else:
            block = self._speech.popleft() if self._speech else self._voice.silence()
            payload_type, marker = remote.payload_type, not self._talking
        self._talking = True
        datagram = serialise(payload_type, self._sequence_number, timestamp, self.ssrc, block.payload, marker)
        self._sequence_number = (self._sequence_number + 1) % 65536
        delays_ms = self._impairments.delays_ms()
        if payload_type == remote.payload_type:
            sent = SentPacket(time.time_ns(), block.payload, block.level_dbfs, block.utterance, bool(delays_ms))
            self.trace.sent.append(sent)
        return [(delay_ms, datagram, remote.address) for delay_ms in delays_ms]

    def receive(self) -> None:
        """Takes in what has arrived on both sockets."""
        for datagram, at_ns, source in _datagrams(self.rtp):
            if self._remote is not None and source != self._remote.address:
                self.trace.discarded += 1
                continue
            try:
                packet = RtpPacket.parse(datagram)
            except RtpError:
                self.trace.discarded += 1
                continue
            self._received(packet, at_ns)
        for _ in _datagrams(self.rtcp):
            self.trace.rtcp_received += 1

    def close(self) -> None:
        self.closed = True
        self.rtp.close()
        self.rtcp.close()

    def _received(self, packet: RtpPacket, at_ns: int) -> None:
        is_audio = packet.payload_type == self.trace.payload_type
        level = level_dbfs(self._codec.decode(packet.payload)) if is_audio else SILENT_DBFS
        received = ReceivedPacket(
            at_ns,
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
            packet.marker,
            packet.payload_type,
            packet.payload,
            level,
        )
        self.trace.received.append(received)
        if received.audible:
            self.ear.heard(at_ns)


def _datagrams(source: socket.socket) -> Iterator[tuple[bytes, int, tuple[str, int]]]:
    """What waits on a socket, each with the time the kernel took it in."""
    while True:
        try:
            datagram, ancillary, _, address = source.recvmsg(_MAX_DATAGRAM_BYTES, kernel_time.ANCILLARY_BYTES)
        except (BlockingIOError, ConnectionRefusedError):
            return
        yield datagram, kernel_time.received_ns(ancillary), address


def _port_pair(address: str) -> tuple[socket.socket, socket.socket]:
    """An even port for RTP and the odd one above it for RTCP (RFC 3550 11).

    Raises:
        OSError: the machine has no such pair left.
    """
    for _ in range(200):
        rtp = _bound(address, 0)
        port = rtp.getsockname()[1]
        if port % 2 == 0:
            try:
                return rtp, _bound(address, port + 1)
            except OSError:
                pass
        rtp.close()
    raise OSError("no pair of free UDP ports was found")


def _bound(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        kernel_time.stamp(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        opened.setblocking(False)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened
