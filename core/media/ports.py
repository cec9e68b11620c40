"""Even RTP ports, each with the odd one above it for RTCP (RFC 3550 11), rested before their next call."""

import threading
from collections import deque
from collections.abc import Callable
from random import Random

from core.errors import PortsExhausted


class PortPool:
    """Hands out the port that has rested longest, and never loses one.

    Its methods may be called on any thread.
    """

    def __init__(
        self,
        min_port: int,
        max_port: int,
        *,
        quarantine_s: float,
        bind_retry_s: float,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        ports = list(range(min_port + min_port % 2, max_port, 2))
        # So that a restarted process does not meet the packets of its predecessor's calls.
        random.shuffle(ports)
        self._ports = frozenset(ports)
        self._free = deque(ports)
        self._taken: set[int] = set()
        self._quarantine: deque[tuple[float, int]] = deque()
        self._aside: deque[tuple[float, int]] = deque()
        self._quarantine_s = quarantine_s
        self._bind_retry_s = bind_retry_s
        self._clock = clock
        self._lock = threading.Lock()

    def take(self) -> int:
        """An even port that is nobody's.

        Raises:
            PortsExhausted: every port is taken, resting or put aside.
        """
        with self._lock:
            self._return_rested()
            if not self._free:
                raise PortsExhausted
            port = self._free.popleft()
            self._taken.add(port)
            return port

    def release(self, port: int) -> None:
        """Its call is over: late packets must not reach the next one."""
        with self._lock:
            self._taken.remove(port)
            self._quarantine.append((self._clock() + self._quarantine_s, port))

    def put_back(self, port: int) -> None:
        """It was not used, for a reason that is not the port's."""
        with self._lock:
            self._taken.remove(port)
            self._free.appendleft(port)

    def put_aside(self, port: int) -> None:
        """Somebody else has bound it: it is tried again later."""
        with self._lock:
            self._taken.remove(port)
            self._aside.append((self._clock() + self._bind_retry_s, port))

    @property
    def taken(self) -> int:
        return len(self._taken)

    @property
    def available(self) -> int:
        """How many `take` would hand out now."""
        with self._lock:
            self._return_rested()
            return len(self._free)

    def __len__(self) -> int:
        return len(self._ports)

    def _return_rested(self) -> None:
        now = self._clock()
        for resting in (self._quarantine, self._aside):
            while resting and resting[0][0] <= now:
                self._free.append(resting.popleft()[1])
