"""Both sides of a call on one timeline: the caller as sent on the left, the agent as received on the right."""

import wave
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.audio.codecs import create_codec
from tools.caller.trace import PTIME_MS, SAMPLE_RATE_HZ, ReceivedPacket, Trace

Samples = npt.NDArray[np.int16]

_NS_PER_SECOND = 1_000_000_000
# A packet further than this from where its timestamp puts it begins a timeline of its own: its sender's clock jumped.
_RESYNC_NS = 300_000_000


class Recording:
    """What both said, at 8 kHz; time 0 is the first packet of either."""

    def __init__(self, trace: Trace) -> None:
        codec = create_codec(trace.codec)
        audio = trace.received_audio
        self.start_ns = min([*(packet.at_ns for packet in trace.sent), *(packet.at_ns for packet in audio)], default=0)
        # A packet leaves when its last sample has been spoken, and is heard from its arrival on.
        ptime_ns = PTIME_MS * 1_000_000
        sent = ((packet.at_ns - ptime_ns, packet.payload) for packet in trace.sent)
        self.caller = self._lay_out((at_ns, codec.decode(payload)) for at_ns, payload in _evenly(sent, ptime_ns))
        self.agent = self._lay_out((at_ns, codec.decode(payload)) for at_ns, payload in placed(audio))

    def agent_between(self, start_ns: int, end_ns: int) -> Samples:
        """What was heard from the agent in a stretch of the system clock."""
        first, last = (max(0, self._position(at_ns)) for at_ns in (start_ns, end_ns))
        return self.agent[first : max(first, last)]

    def write(self, path: Path) -> None:
        """As a stereo WAV file."""
        length = max(len(self.caller), len(self.agent))
        stereo = np.zeros((length, 2), dtype="<i2")
        stereo[: len(self.caller), 0] = self.caller
        stereo[: len(self.agent), 1] = self.agent
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(SAMPLE_RATE_HZ)
            out.writeframes(stereo.tobytes())

    def _position(self, at_ns: int) -> int:
        return round((at_ns - self.start_ns) * SAMPLE_RATE_HZ / _NS_PER_SECOND)

    def _lay_out(self, pieces: Iterable[tuple[int, bytes]]) -> Samples:
        blocks = [(self._position(at_ns), np.frombuffer(pcm, dtype="<i2")) for at_ns, pcm in pieces]
        track = np.zeros(max((at + len(block) for at, block in blocks), default=0), dtype=np.int16)
        for at, block in blocks:
            skipped = max(0, -at)
            track[at + skipped : at + len(block)] = block[skipped:]
        return track


def placed(packets: Sequence[ReceivedPacket]) -> Iterator[tuple[int, bytes]]:
    """Each payload with the time at which it is heard: its RTP timestamp's, counted from a packet that was not held up.

    Arrival times alone would tear words apart wherever the network was uneven.
    """
    for run in _runs(packets):
        base = run[0].timestamp
        offsets_ns = [_ahead(packet.timestamp, base) * _NS_PER_SECOND // SAMPLE_RATE_HZ for packet in run]
        origin_ns = min(packet.at_ns - offset_ns for packet, offset_ns in zip(run, offsets_ns, strict=True))
        for packet, offset_ns in zip(run, offsets_ns, strict=True):
            yield origin_ns + offset_ns, packet.payload


def _runs(packets: Sequence[ReceivedPacket]) -> Iterator[list[ReceivedPacket]]:
    """The packets in stretches of one source whose timestamps agree with the clock."""
    run: list[ReceivedPacket] = []
    for packet in packets:
        if run and (packet.ssrc != run[0].ssrc or _disagreement_ns(run[0], packet) > _RESYNC_NS):
            yield run
            run = []
        run.append(packet)
    if run:
        yield run


def _disagreement_ns(first: ReceivedPacket, later: ReceivedPacket) -> int:
    elapsed_ns = _ahead(later.timestamp, first.timestamp) * _NS_PER_SECOND // SAMPLE_RATE_HZ
    return abs(later.at_ns - first.at_ns - elapsed_ns)


def _ahead(timestamp: int, base: int) -> int:
    """How many samples a timestamp lies after another, or before it if negative (wraps at 2**32)."""
    return (timestamp - base + 2**31) % 2**32 - 2**31


def _evenly(pieces: Iterable[tuple[int, bytes]], step_ns: int) -> Iterator[tuple[int, bytes]]:
    """Sent packets follow each other without a seam, though each left a little early or late."""
    due_ns: int | None = None
    for at_ns, payload in pieces:
        if due_ns is None or abs(at_ns - due_ns) > step_ns:
            due_ns = at_ns
        yield due_ns, payload
        due_ns += step_ns
