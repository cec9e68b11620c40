"""How many calls were placed of late: a sliding count per minute, per hour, and per hour to one number."""

from collections import deque

MINUTE_S = 60.0
HOUR_S = 3600.0


class CallRate:
    """Remembers the calls of one hour, no more of them than may be placed in it. Times are monotonic seconds."""

    def __init__(self, max_per_minute: int, max_per_hour: int, max_per_hour_to_one: int) -> None:
        self._max_per_minute = max_per_minute
        self._max_per_hour = max_per_hour
        self._max_per_hour_to_one = max_per_hour_to_one
        self._placed: deque[tuple[float, str]] = deque(maxlen=max_per_hour)

    def wait_s(self, number: str, now_s: float) -> float:
        """How long until the number may be called; 0 for now."""
        placed_s = [at_s for at_s, _ in self._placed]
        to_it_s = [at_s for at_s, other in self._placed if other == number]
        return max(
            _wait_s(placed_s, self._max_per_minute, MINUTE_S, now_s),
            _wait_s(placed_s, self._max_per_hour, HOUR_S, now_s),
            _wait_s(to_it_s, self._max_per_hour_to_one, HOUR_S, now_s),
        )

    def count(self, number: str, now_s: float) -> None:
        """A call is placed."""
        self._placed.append((now_s, number))


def _wait_s(placed_s: list[float], limit: int, window_s: float, now_s: float) -> float:
    """Until the oldest of the last `limit` calls is out of the window."""
    return max(0.0, placed_s[-limit] + window_s - now_s) if len(placed_s) >= limit else 0.0
