"""What is heard of the agent on a phone behind Twilio, frame by frame, when it is played and not when it arrives.

Timestamps are the phone's own clock. A dry buffer is silence on the phone, and the wire does not say whether the agent
paused or its audio came late. It counts as a gap of the agent's, in full, unless the buffer had been cleared, or the
caller said or pressed something since, or it was longer than a pause within a sentence and quiet on both its edges.
"""

from core.audio.codecs import create_codec
from tools.caller.ear import Ear
from tools.caller.playout import PlayedFrame, PlayoutBuffer
from tools.caller.trace import AUDIBLE_DBFS, SAMPLE_RATE_HZ, ReceivedPacket, Trace, level_dbfs

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_PAUSE_NS = 200 * _NS_PER_MS
# A connector fills the buffer first: until then its level says nothing of how near it came to running dry.
_FILLING_NS = 500 * _NS_PER_MS


class Playback:
    """One call's, over as many streams as it has. Everything is told in order of time."""

    def __init__(self, trace: Trace, ear: Ear) -> None:
        self._trace = trace
        self._ear = ear
        self._codec = create_codec(trace.codec)
        self._buffer = PlayoutBuffer()
        self._last: PlayedFrame | None = None
        self._cleared = False
        self._caller_active_ns = 0
        self._stretch_ns = 0

    def caller_active(self, at_ns: int) -> None:
        """The caller says or presses something."""
        self._caller_active_ns = at_ns

    def put(self, payload: bytes, at_ns: int) -> None:
        """Mu-law audio arrives."""
        left_ns = self._buffer.put(payload, at_ns)
        if left_ns >= 0 and at_ns - self._stretch_ns >= _FILLING_NS:
            self._trace.leads_ms.append(left_ns / _NS_PER_MS)

    def mark(self, name: str, at_ns: int) -> None:
        self._buffer.mark(name, at_ns)

    def clear(self, at_ns: int) -> list[str]:
        """Drops what has not been played; the marks among it."""
        self._cleared = True
        return self._buffer.clear(at_ns)

    def advance(self, now_ns: int) -> list[str]:
        """Plays up to a moment; the marks that were passed."""
        for frame in self._buffer.advance(now_ns):
            self._played(frame)
        return self._buffer.marks_due(now_ns)

    @property
    def next_due_ns(self) -> int | None:
        return self._buffer.next_due_ns

    def _played(self, frame: PlayedFrame) -> None:
        level = level_dbfs(self._codec.decode(frame.payload))
        goes_on = self._goes_on(frame, level)
        received = self._trace.received
        previous = received[-1] if received else None
        packet = ReceivedPacket(
            at_ns=frame.at_ns,
            sequence_number=(previous.sequence_number + 1) % 65536 if previous and goes_on else 0,
            timestamp=frame.at_ns * SAMPLE_RATE_HZ // _NS_PER_S % 2**32,
            # A stretch of speech is a source of its own: what lies between two of them is nobody's gap.
            ssrc=0 if previous is None else previous.ssrc + (not goes_on),
            marker=not goes_on,
            payload_type=self._trace.payload_type,
            payload=frame.payload,
            level_dbfs=level,
        )
        received.append(packet)
        if packet.audible:
            self._ear.heard(frame.at_ns)
        self._last, self._cleared = frame, False

    def _goes_on(self, frame: PlayedFrame, level: float) -> bool:
        """Whether the frame belongs to the same stretch of speech as the last one, however late it comes."""
        last = self._last
        dry_ns = None if last is None or self._cleared else frame.at_ns - last.ends_ns
        if dry_ns == 0:
            return True
        self._stretch_ns = frame.at_ns
        if last is None or dry_ns is None or self._caller_active_ns >= last.ends_ns:
            return False
        dry_ms = dry_ns / _NS_PER_MS
        if dry_ns <= _PAUSE_NS or max(self._trace.received[-1].level_dbfs, level) > AUDIBLE_DBFS:
            self._trace.leads_ms.append(-dry_ms)
            return True
        self._trace.pauses_ms.append(dry_ms)
        return False
