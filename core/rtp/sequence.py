"""Sequence-number validity and wrap count of one RTP source (RFC 3550 A.1), and serial arithmetic."""

# RFC 3550 A.1 names and values.
MAX_DROPOUT = 3000
MAX_MISORDER = 100
_SEQUENCE_MODULUS = 1 << 16
_TIMESTAMP_MODULUS = 1 << 32


def sequence_difference(later: int, earlier: int) -> int:
    """How many packets `later` comes after `earlier`, -32768 to 32767 (RFC 1982)."""
    difference = (later - earlier) & 0xFFFF
    return difference - _SEQUENCE_MODULUS if difference & 0x8000 else difference


def timestamp_difference(later: int, earlier: int) -> int:
    """How many timestamp units `later` comes after `earlier`, -2**31 to 2**31-1."""
    difference = (later - earlier) & 0xFFFFFFFF
    return difference - _TIMESTAMP_MODULUS if difference & 0x80000000 else difference


class SourceSequence:
    """Sequence numbers of one source, made continuous.

    Attributes:
        first: extended number at which counting began.
        highest: extended number of the latest packet in order; its upper bits count wraps.
        received: valid packets since counting began, late and duplicate ones included.
        restarts: how often the source began to count anew.
        past_received: valid packets before the last restart.
        past_lost: packets lost before the last restart.
    """

    __slots__ = (
        "_expected_after_jump",
        "_left_to_prove",
        "_probation",
        "first",
        "highest",
        "past_lost",
        "past_received",
        "received",
        "restarts",
    )

    def __init__(self, sequence_number: int, probation: int = 0) -> None:
        """Begins before `sequence_number`, which is still to be given to `update`.

        Args:
            probation: packets that must come in order before the source counts as one; RFC 3550 has 2, a
                source whose address was agreed on needs none.
        """
        self.restarts = 0
        self.past_received = 0
        self.past_lost = 0
        self._expected_after_jump = -1
        self._probation = probation
        self._left_to_prove = probation
        self._begin(sequence_number)
        self.highest = sequence_number - 1

    def update(self, sequence_number: int) -> int | None:
        """The extended number of a packet that arrived, None while its source is not (yet) to be believed."""
        ahead = (sequence_number - self.highest) & 0xFFFF
        if self._left_to_prove:
            return self._prove(sequence_number, ahead)
        if ahead < MAX_DROPOUT:
            extended = self.highest + ahead
            self.highest = extended
        elif ahead <= _SEQUENCE_MODULUS - MAX_MISORDER:
            if sequence_number != self._expected_after_jump:
                # One stray packet is no reason to start anew; a second one that follows it is.
                self._expected_after_jump = (sequence_number + 1) & 0xFFFF
                return None
            self.restarts += 1
            self.past_received += self.received
            self.past_lost += max(0, self.lost)
            self._begin(sequence_number)
            extended = sequence_number
        else:
            extended = self.highest + ahead - _SEQUENCE_MODULUS
        self.received += 1
        return extended

    @property
    def expected(self) -> int:
        """Packets the source has sent since counting began, as its numbers tell."""
        return self.highest - self.first + 1

    @property
    def lost(self) -> int:
        """Packets that did not arrive; negative where more came twice (RFC 3550 A.3)."""
        return self.expected - self.received

    def _prove(self, sequence_number: int, ahead: int) -> int | None:
        self._left_to_prove = (self._left_to_prove if ahead == 1 else self._probation) - 1
        self.highest = sequence_number
        if self._left_to_prove:
            return None
        self._begin(sequence_number)
        self.received = 1
        return sequence_number

    def _begin(self, sequence_number: int) -> None:
        self.first = sequence_number
        self.highest = sequence_number
        self.received = 0
        self._expected_after_jump = -1
