"""What Twilio does with the audio that it is sent (Twilio, "Media Streams - WebSocket Messages": media, mark, clear).

It keeps it, plays it at 8 kHz one piece behind the other, returns a mark once all before it has been played, and on
`clear` drops what is left and returns every mark at once. Time is an argument: nanoseconds of any one clock.
"""

from collections import deque
from dataclasses import dataclass

from tools.caller.trace import PTIME_MS, SAMPLE_RATE_HZ

_NS_PER_BYTE = 1_000_000_000 // SAMPLE_RATE_HZ
_FRAME_BYTES = SAMPLE_RATE_HZ * PTIME_MS // 1000


@dataclass(frozen=True, slots=True)
class PlayedFrame:
    """20 ms of the agent's, less where the buffer had no more; `at_ns` is when its first sample is played."""

    at_ns: int
    payload: bytes

    @property
    def ends_ns(self) -> int:
        return self.at_ns + len(self.payload) * _NS_PER_BYTE


class PlayoutBuffer:
    """One stream's. Everything is told in order of time."""

    def __init__(self) -> None:
        self._audio = bytearray()
        # When the first byte of the audio is played; where there is none, when the last one had been.
        self._next_ns = 0
        self._marks: deque[tuple[int, str]] = deque()

    @property
    def ends_ns(self) -> int:
        """When the last of what is here has been played."""
        return self._next_ns + len(self._audio) * _NS_PER_BYTE

    @property
    def next_due_ns(self) -> int | None:
        """When `advance` has something to give, None while there is nothing to wait for."""
        frame_ns = self._next_ns if self._audio else None
        mark_ns = self._marks[0][0] if self._marks else None
        return min((due_ns for due_ns in (frame_ns, mark_ns) if due_ns is not None), default=None)

    def put(self, payload: bytes, at_ns: int) -> int:
        """Takes in mu-law audio; returns what was left to play when it came, negative where that had run dry."""
        left_ns = self.ends_ns - at_ns
        if left_ns < 0:
            self._next_ns = at_ns
        self._audio += payload
        return left_ns

    def mark(self, name: str, at_ns: int) -> None:
        """To be returned when what is here now has been played: at once where that is nothing."""
        self._marks.append((max(at_ns, self.ends_ns), name))

    def clear(self, at_ns: int) -> list[str]:
        """Drops all; the marks that were waited for, in order."""
        names = [name for _, name in self._marks]
        self._marks.clear()
        self._audio.clear()
        self._next_ns = min(self._next_ns, at_ns)
        return names

    def advance(self, now_ns: int) -> list[PlayedFrame]:
        """The frames whose playing has begun since the last time."""
        frames = []
        while self._audio and self._next_ns <= now_ns:
            frames.append(PlayedFrame(self._next_ns, bytes(self._audio[:_FRAME_BYTES])))
            del self._audio[:_FRAME_BYTES]
            self._next_ns = frames[-1].ends_ns
        return frames

    def marks_due(self, now_ns: int) -> list[str]:
        """The marks before which all has been played."""
        names = []
        while self._marks and self._marks[0][0] <= now_ns:
            names.append(self._marks.popleft()[1])
        return names
