"""The caller's audio with its time kept true: late bursts pass, missing stretches are filled, repeats are dropped."""

from core.audio.concealment import Concealer
from core.leg import AudioReceived
from core.transports.twilio.messages import SAMPLE_RATE_HZ, Media

_SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
# Twilio's timestamps are whole milliseconds of a clock that wavers a little.
_TOLERANCE_MS = 10
# A longer hole is filled up to this: what the caller did meanwhile is unknown, and nobody waits for it.
GAP_FILLED_MS_MAX = 1000
# Nor are holes filled with more than there was time for, by more than a network that stood still brings at once.
_AHEAD_MS_MAX = 10_000
# A minute: a count that jumps further has lost its way.
_LOST_AT_ONCE_MAX = 3000
# RFC 3550 6.4.1.
_JITTER_GAIN = 1 / 16


class Inbound:
    """One stream's. Media messages come in order over TCP, in bursts, and some not at all.

    Attributes:
        lost: media messages that the count of them says are missing.
        jitter_ms: mean deviation of the arrivals from the timestamps.
    """

    def __init__(self) -> None:
        self._concealer = Concealer(SAMPLE_RATE_HZ)
        self._chunk = 0
        self._expected_ms: int | None = None
        self._transit_ms: float | None = None
        self._began_at_s: float | None = None
        self._given_ms = 0
        self.received = 0
        self.repeated = 0
        self.lost = 0
        self.jitter_ms = 0.0

    def restart(self) -> None:
        """Another stream of the same call: its counts begin anew."""
        self._chunk = 0
        self._expected_ms = None
        self._transit_ms = None
        self._began_at_s = None
        self._given_ms = 0
        self._concealer.reset()

    def receive(self, media: Media, pcm: bytes, received_at_s: float) -> list[AudioReceived]:
        """The audio of one message, preceded by what stands in for what is missing before it."""
        if media.chunk and media.chunk <= self._chunk:
            self.repeated += 1
            return []
        gap_ms = 0 if self._expected_ms is None else media.timestamp_ms - self._expected_ms
        if not media.chunk and gap_ms < -_TOLERANCE_MS:
            self.repeated += 1
            return []
        self.received += 1
        self._count(media, received_at_s)
        self._expected_ms = media.timestamp_ms + media.size_bytes // _SAMPLES_PER_MS
        if self._began_at_s is None:
            self._began_at_s = received_at_s
        self._given_ms += media.size_bytes // _SAMPLES_PER_MS
        ahead_ms = self._given_ms - round((received_at_s - self._began_at_s) * 1000)
        filled_ms = min(gap_ms, GAP_FILLED_MS_MAX, _AHEAD_MS_MAX - ahead_ms)
        events = []
        if filled_ms >= _TOLERANCE_MS:
            self._given_ms += filled_ms
            stand_in = self._concealer.conceal(filled_ms * _SAMPLES_PER_MS)
            events.append(AudioReceived(stand_in, received_at_s, concealed=True))
        events.append(AudioReceived(self._concealer.receive(pcm), received_at_s))
        return events

    def _count(self, media: Media, received_at_s: float) -> None:
        if media.chunk:
            if self._chunk:
                self.lost += min(media.chunk - self._chunk - 1, _LOST_AT_ONCE_MAX)
            self._chunk = media.chunk
        transit_ms = received_at_s * 1000 - media.timestamp_ms
        if self._transit_ms is not None:
            self.jitter_ms += (abs(transit_ms - self._transit_ms) - self.jitter_ms) * _JITTER_GAIN
        self._transit_ms = transit_ms
