"""Every packet of one call as the phone saw it, with the time it left or arrived.

Times are nanoseconds of the system clock: the one the kernel stamps arriving packets with.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

PTIME_MS = 20
SAMPLE_RATE_HZ = 8000
# Speech on a telephone lies near -20 dBFS, and silence coded by G.711 below -70.
AUDIBLE_DBFS = -45.0
SILENT_DBFS = -120.0


@dataclass(frozen=True, slots=True)
class SentPacket:
    """One packet of the caller's.

    Attributes:
        at_ns: when it left, or would have left had the network not lost it.
        level_dbfs: of the speech in it, whatever noise surrounds it.
        utterance: which of the script's says it belongs to, None where the caller is silent.
    """

    at_ns: int
    payload: bytes
    level_dbfs: float
    utterance: int | None
    delivered: bool

    @property
    def audible(self) -> bool:
        return self.level_dbfs > AUDIBLE_DBFS


@dataclass(frozen=True, slots=True)
class ReceivedPacket:
    """One packet of the agent's, in the order of arrival; `at_ns` is the kernel's."""

    at_ns: int
    sequence_number: int
    timestamp: int
    ssrc: int
    marker: bool
    payload_type: int
    payload: bytes
    level_dbfs: float

    @property
    def audible(self) -> bool:
        return self.level_dbfs > AUDIBLE_DBFS


@dataclass(slots=True)
class Trace:
    """One call on the wire.

    Attributes:
        payload_type: of the agreed codec; other packets of the agent's are digits or comfort noise.
        invited_ns: when the INVITE's event was raised.
        replied_ns: when the final reply to it came.
        discarded: datagrams that were no RTP, or from elsewhere; messages that made no sense.
        leads_ms: what was left to play whenever more came, where audio is sent ahead; below 0 it had run dry.
        pauses_ms: how long it had run dry where the agent is taken to have paused.
    """

    codec: str = "PCMU"
    payload_type: int = 0
    invited_ns: int | None = None
    replied_ns: int | None = None
    ended_ns: int | None = None
    sent: list[SentPacket] = field(default_factory=list)
    received: list[ReceivedPacket] = field(default_factory=list)
    rtcp_received: int = 0
    discarded: int = 0
    digits_received: str = ""
    leads_ms: list[float] = field(default_factory=list)
    pauses_ms: list[float] = field(default_factory=list)

    @property
    def received_audio(self) -> list[ReceivedPacket]:
        return [packet for packet in self.received if packet.payload_type == self.payload_type]

    def onset_ns(self, utterance: int) -> int | None:
        """The first packet in which the caller can be heard to say it."""
        return min(self._audible_times(utterance), default=None)

    def last_audible_ns(self, utterance: int) -> int | None:
        return max(self._audible_times(utterance), default=None)

    def _audible_times(self, utterance: int) -> Iterable[int]:
        return (packet.at_ns for packet in self.sent if packet.utterance == utterance and packet.audible)


def level_dbfs(pcm: bytes) -> float:
    """Root mean square of 16-bit PCM, relative to full scale."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    power = float(samples @ samples) / max(1, len(samples))
    return 10 * math.log10(power / 32768**2) if power > 0 else SILENT_DBFS
