"""When in the wheel's turn a call's socket is best read: shortly after its packets usually arrive."""

from core.media.wheel import SLOT_S, SLOTS

# A second of packets.
_OBSERVED_PACKETS = 50
# Moving is worth this many slots of waiting, on average.
_LEAST_GAIN_SLOTS = 1.0


class ReceivePhase:
    """Counts how long packets have waited to be read, in slots, and says how many slots earlier is better."""

    __slots__ = ("_count", "_waits")

    def __init__(self) -> None:
        self._waits = [0] * SLOTS
        self._count = 0

    def note(self, waited_s: float) -> None:
        self._waits[int(waited_s / SLOT_S) % SLOTS] += 1
        self._count += 1

    def earlier(self) -> int:
        """How many slots earlier to read from now on; 0 to stay."""
        if self._count < _OBSERVED_PACKETS:
            return 0
        costs = [
            sum(count * ((wait - earlier) % SLOTS) for wait, count in enumerate(self._waits))
            for earlier in range(SLOTS)
        ]
        best = min(range(SLOTS), key=costs.__getitem__)
        gain = (costs[0] - costs[best]) / self._count
        self._waits = [0] * SLOTS
        self._count = 0
        return best if gain >= _LEAST_GAIN_SLOTS else 0
