"""What was accepted before, so that it is accepted once."""

from collections import OrderedDict


class SeenOnce:
    """Remembers names for as long as they are worth repeating. Bounded: when full, the oldest is forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def first_time(self, name: str, now_s: float, until_s: float) -> bool:
        """Whether it was not seen before; remembers it until then."""
        while self._until_s:
            oldest = next(iter(self._until_s))
            if self._until_s[oldest] > now_s and len(self._until_s) < self._capacity:
                break
            del self._until_s[oldest]
        if name in self._until_s:
            return False
        self._until_s[name] = until_s
        return True

    def __len__(self) -> int:
        return len(self._until_s)
