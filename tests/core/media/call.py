"""One call on a wheel that is turned by hand: a virtual clock, sockets that only remember."""

import asyncio
from collections import deque
from random import Random

from core.audio.codec import Codec
from core.audio.codecs import create_codec
from core.leg import AudioReceived, DigitReceived
from core.media.datagram_socket import MAX_BATCH, Datagram, encode_address
from core.media.handover import Handover
from core.media.inbox import MediaInactive
from core.media.settings import MediaSettings
from core.media.stream import MediaStream
from core.media.wheel import PERIOD_S, Wheel
from core.rtp.packet import RtpPacket
from core.rtp.rtcp import RtcpPacket, parse_compound
from core.sdp.media_parameters import MediaParameters

CALLER = ("192.0.2.7", 40_000)
CALLER_RTCP = ("192.0.2.7", 40_001)
PCMU_SILENCE = b"\xff" * 160
# Sums of 20 ms and multiples of it differ in their last digits.
_ROUNDING_S = 1e-6
Event = AudioReceived | DigitReceived | MediaInactive


class VirtualClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class RememberingSocket:
    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[tuple[bytes, bytes]] = []
        self.waiting: deque[Datagram] = deque()
        self.closed = False
        self.takes = True

    def send(self, data: bytes, destination: bytes) -> bool:
        if self.takes:
            self.sent.append((data, destination))
        return self.takes

    def receive(self) -> list[Datagram]:
        return [self.waiting.popleft() for _ in range(min(len(self.waiting), MAX_BATCH))]

    def close(self) -> None:
        self.closed = True


def parameters(
    codec: Codec | None = None,
    *,
    remote: tuple[str, int] = CALLER,
    rtcp: tuple[str, int] | None = CALLER_RTCP,
    payload_type: int = 0,
    ptime_ms: int = 20,
    sending: bool = True,
    receiving: bool = True,
    dtmf: int | None = 101,
) -> MediaParameters:
    return MediaParameters(
        remote_address=remote,
        payload_type=payload_type,
        codec=codec or create_codec("PCMU"),
        dtmf_payload_type=dtmf,
        ptime_ms=ptime_ms,
        sending=sending,
        receiving=receiving,
        comfort_noise=True,
        remote_rtcp=rtcp,
    )


class Call:
    """A stream, and the far end's side of it."""

    def __init__(self, settings: MediaSettings | None = None, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.rtp = RememberingSocket(35_000)
        self.rtcp = RememberingSocket(35_001)
        self.wheel = Wheel(self.clock, Handover())
        self.closed: list[MediaStream] = []
        self.stream = MediaStream(
            settings or MediaSettings(),
            self.rtp,
            self.rtcp,
            clock=self.clock,
            wall_clock=lambda: 1_700_000_000.0 + self.clock.now,
            random=Random(seed),
            on_connect=lambda stream: self.wheel.add(stream.wire),
            on_close=self._closed,
        )
        self.parameters = parameters()

    def _closed(self, stream: MediaStream) -> None:
        self.wheel.remove(stream.wire)
        self.closed.append(stream)

    def connect(self, agreed: MediaParameters | None = None) -> None:
        self.parameters = agreed or self.parameters
        self.stream.connect(self.parameters)

    def arrive(
        self, packet: RtpPacket | bytes, source: tuple[str, int] = CALLER, *, late_s: float = 0.0, rtcp: bool = False
    ) -> None:
        data = packet if isinstance(packet, bytes) else packet.serialise()
        socket = self.rtcp if rtcp else self.rtp
        socket.waiting.append(Datagram(data, encode_address(source), self.clock.now - late_s))

    def turn(self, periods: int = 1) -> None:
        """Packets go out and in; then a packet time passes, and so on."""
        for _ in range(periods):
            self.wheel.tick(self.clock.now + _ROUNDING_S)
            self.clock.now += PERIOD_S

    def talk(self, numbers: range, *, ssrc: int = 7, payload: bytes = b"\x55" * 160) -> None:
        """One packet a turn, numbered on."""
        for number in numbers:
            self.arrive(packet(number, ssrc=ssrc, payload=payload))
            self.turn()

    async def events(self) -> list[Event]:
        """What the reader has been given so far."""
        given: list[Event] = []
        while True:
            reading = asyncio.ensure_future(self.stream.receive())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                return given
            given.append(reading.result())

    async def audio(self) -> list[AudioReceived]:
        return [event for event in await self.events() if isinstance(event, AudioReceived)]

    @property
    def sent(self) -> list[RtpPacket]:
        return [RtpPacket.parse(data) for data, _ in self.rtp.sent]

    @property
    def reports(self) -> list[list[RtcpPacket]]:
        return [parse_compound(data) for data, _ in self.rtcp.sent]


def packet(
    number: int, *, ssrc: int = 7, payload: bytes = b"\x55" * 160, payload_type: int = 0, timestamp: int | None = None
) -> RtpPacket:
    """Of a source that sends 20 ms a packet."""
    at = 160 * number if timestamp is None else timestamp
    return RtpPacket(payload_type, number & 0xFFFF, at & 0xFFFFFFFF, ssrc, payload)
