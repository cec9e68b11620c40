"""What the wheel has heard on one call, until its reader takes it."""

from collections import deque
from dataclasses import dataclass

from core.audio.codec import Codec
from core.leg import DigitReceived
from core.media.counters import MediaCounters


@dataclass(frozen=True, slots=True)
class MediaInactive:
    """Nothing at all has come from the caller for so long; told again each time as much has passed."""

    silent_for_s: float


@dataclass(slots=True)
class Heard:
    """One packet's audio, still encoded."""

    codec: Codec
    payload: bytes
    arrived_at_s: float


@dataclass(frozen=True, slots=True)
class Missing:
    """A stretch of time without audio.

    Attributes:
        pause: the caller's side fell silent on purpose; otherwise packets are missing.
    """

    seconds: float
    pause: bool
    at_s: float


Item = Heard | Missing | DigitReceived | MediaInactive


class Inbox:
    """Bounded: a reader that stays away loses the oldest first. One thread appends, another takes."""

    def __init__(self, capacity: int, counters: MediaCounters) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._counters = counters

    def append(self, item: Item) -> None:
        if len(self._items) >= self._capacity and self.take() is not None:
            self._counters.events_dropped += 1
        self._items.append(item)

    def take(self) -> Item | None:
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def __len__(self) -> int:
        return len(self._items)
