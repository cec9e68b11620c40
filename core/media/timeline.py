"""The caller's audio as an unbroken stretch of time: what is missing is named, so that it can be stood in for.

A recogniser counts samples. When packets are lost, or none come (mute, DTX, hold), time must go on all the same:
first by the clock, and once packets come again, by their timestamps.
"""

from core.rtp.sequence import timestamp_difference

# Filled in by the clock in pieces of this length.
_PIECE_S = 0.02
# The clock's stand-ins and the timestamps may disagree by as much as packets jitter.
_TOLERANCE_S = 0.04
# A machine that slept longer did not hear the time pass, and the recogniser need not either.
_LONGEST_STAND_IN_S = 1.0


class Timeline:
    """Seconds in, seconds of stand-in out; the clock is the caller's argument."""

    __slots__ = ("_clock_rate_hz", "_due_s", "_filled_s", "_next_timestamp", "_patience_s", "_ssrc")

    def __init__(self, now_s: float, clock_rate_hz: int, patience_s: float) -> None:
        """Time begins at `now_s`; audio that is later than `patience_s` is stood in for."""
        self._clock_rate_hz = clock_rate_hz
        self._patience_s = patience_s
        self._due_s = now_s + _PIECE_S
        self._filled_s = 0.0
        self._next_timestamp = 0
        self._ssrc: int | None = None

    def lost(self, duration: int, now_s: float) -> float:
        """Seconds to stand in for packets given up that held `duration` timestamp units."""
        if self._ssrc is None:
            return 0.0
        self._next_timestamp = (self._next_timestamp + duration) & 0xFFFFFFFF
        return self._owed(duration / self._clock_rate_hz, now_s)

    def audio(self, ssrc: int, timestamp: int, duration: int, arrived_at_s: float) -> float:
        """Seconds to stand in before a packet's audio, which then continues the stretch."""
        owed_s = 0.0
        if timestamp != self._next_timestamp or ssrc != self._ssrc:
            if ssrc == self._ssrc:
                paused = timestamp_difference(timestamp, self._next_timestamp)
                owed_s = self._owed(max(paused, 0) / self._clock_rate_hz, arrived_at_s)
            self._ssrc = ssrc
        self._next_timestamp = (timestamp + duration) & 0xFFFFFFFF
        self._filled_s = 0.0
        self._due_s = arrived_at_s + duration / self._clock_rate_hz
        return owed_s

    def overdue(self, now_s: float) -> float:
        """Seconds to stand in now because nothing came for them."""
        pieces = int((now_s - self._due_s - self._patience_s) / _PIECE_S + 1)
        if pieces <= 0:
            return 0.0
        filled_s = pieces * _PIECE_S
        self._due_s += filled_s
        filled_s = min(filled_s, _LONGEST_STAND_IN_S)
        self._filled_s += filled_s
        return filled_s

    def _owed(self, missing_s: float, now_s: float) -> float:
        """What the clock has not filled in yet, never more than has passed."""
        owed_s = min(missing_s - self._filled_s, now_s - self._due_s + _TOLERANCE_S, _LONGEST_STAND_IN_S)
        self._filled_s = max(0.0, self._filled_s - missing_s)
        if owed_s <= 0:
            return 0.0
        self._due_s += owed_s
        return owed_s
