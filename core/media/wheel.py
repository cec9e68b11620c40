"""When each call's next packet is due: one wheel of short slots for all calls, one turn a packet time."""

import threading
from collections.abc import Callable
from typing import Protocol

from core.media.handover import Handover

PERIOD_S = 0.02
SLOTS = 8
SLOT_S = PERIOD_S / SLOTS
# Lateness up to this is made good packet by packet; beyond it (a suspended machine) time is skipped instead.
MAX_CATCH_UP_S = 0.1
# Callers whose packets all come at once are read at once, as long as the next slot need not wait for it.
_CROWD = 8


class Rider(Protocol):
    """What turns with the wheel. Everything is called on the wheel's thread, and must not block."""

    def send(self, now: float) -> None:
        """A packet time has passed."""

    def receive_due(self, now: float, handover: Handover) -> int:
        """Takes what has arrived, names itself to `handover` if its reader has news.

        Returns:
            by how many slots earlier in the turn it is better asked from now on; 0 to stay.
        """

    def skip(self, periods: int) -> None:
        """That many packet times passed without a call of `send`."""

    def fail(self, error: Exception) -> None:
        """It raised, and rides no longer."""


class Wheel:
    """Deadlines are absolute: start + n * period + slot * slot time, so that lateness never adds up.

    `tick` and `due` belong to one thread; riders may be added and removed on any other.
    """

    def __init__(self, clock: Callable[[], float], handover: Handover) -> None:
        self._clock = clock
        self._handover = handover
        self._lock = threading.Lock()
        # Replaced, never changed, so that a turn in progress goes on over the riders it began with.
        self._senders: list[tuple[Rider, ...]] = [()] * SLOTS
        self._receivers: list[tuple[Rider, ...]] = [()] * SLOTS
        self._start = clock()
        self._next = 0
        self.periods_skipped = 0
        self.worst_lateness_s = 0.0

    def add(self, rider: Rider) -> None:
        """Puts the rider into the emptiest slot."""
        with self._lock:
            if not any(self._senders):
                self._start = self._clock()
                self._next = 0
            emptiest = min(range(SLOTS), key=lambda slot: len(self._senders[slot]))
            self._senders[emptiest] += (rider,)
            self._receivers[emptiest] += (rider,)

    def remove(self, rider: Rider) -> None:
        """Harmless if it does not ride. A turn in progress may still call it once."""
        with self._lock:
            self._senders = [_without(rider, slot) for slot in self._senders]
            self._receivers = [_without(rider, slot) for slot in self._receivers]

    def __len__(self) -> int:
        return sum(map(len, self._senders))

    def due(self) -> float | None:
        """When `tick` has something to do; None while nobody rides."""
        with self._lock:
            for position in range(self._next, self._next + SLOTS):
                slot = position % SLOTS
                if self._senders[slot] or self._receivers[slot]:
                    self._next = position
                    return self._start + position * SLOT_S
        return None

    def tick(self, now: float) -> None:
        """Serves every slot that is due: all its packets go out first, then what came in is read."""
        due = self.due()
        if due is None or due > now:
            return
        self.worst_lateness_s = max(self.worst_lateness_s, now - due)
        if now - due > MAX_CATCH_UP_S:
            self._skip(int((now - due) / PERIOD_S))
            due = self.due()
        while due is not None and due <= now:
            slot = self._next % SLOTS
            self._next += 1
            self._serve(slot, now)
            due = self.due()

    def _serve(self, slot: int, now: float) -> None:
        for rider in self._senders[slot]:
            try:
                rider.send(now)
            except Exception as error:  # one call's fault ends that call, never the others'
                self._drop(rider, error)
        for rider in self._receivers[slot]:
            try:
                earlier = rider.receive_due(now, self._handover)
                if earlier:
                    self._move(rider, slot, (slot - earlier) % SLOTS)
            except Exception as error:
                self._drop(rider, error)
        self._handover.flush()

    def _move(self, rider: Rider, slot: int, better: int) -> None:
        with self._lock:
            fair_share = len(self) // SLOTS
            if rider in self._receivers[slot] and len(self._receivers[better]) < 2 * fair_share + _CROWD:
                self._receivers[slot] = _without(rider, self._receivers[slot])
                self._receivers[better] += (rider,)

    def _skip(self, periods: int) -> None:
        self._start += periods * PERIOD_S
        self.periods_skipped += periods
        for slot in self._senders:
            for rider in slot:
                rider.skip(periods)

    def _drop(self, rider: Rider, error: Exception) -> None:
        self.remove(rider)
        rider.fail(error)


def _without(rider: Rider, riders: tuple[Rider, ...]) -> tuple[Rider, ...]:
    return tuple(other for other in riders if other is not rider)
