"""Two threads that carry the packets of every phone: one sends by absolute deadlines, one receives.

Sending keeps its pace whatever the script's event loop does. Arrival times are the kernel's: a late reader shifts none.
"""

import heapq
import itertools
import selectors
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tools.caller.phone import Phone
from tools.caller.script import CallScript
from tools.caller.trace import PTIME_MS

_PTIME_NS = PTIME_MS * 1_000_000
_NS_PER_S = 1_000_000_000
# How soon a new phone begins to send, and how soon `close` is noticed.
_IDLE_S = 0.005


class Wire:
    """Opens phones and moves their packets, from `start` to `close`."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._new: list[Phone] = []
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"caller-{name}", daemon=True)
            for name, work in (("send", self._send), ("receive", self._receive))
        ]

    def __enter__(self) -> "Wire":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._selector.close()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def address(self) -> str:
        return self._address

    def open(self, script: CallScript, stream: int = 0) -> Phone:
        """A phone with sockets of its own, which sends once it is connected.

        Raises:
            OSError: no port is free.
        """
        phone = Phone(self._address, script, stream)
        with self._lock:
            self._selector.register(phone.rtp, selectors.EVENT_READ, phone)
            self._selector.register(phone.rtcp, selectors.EVENT_READ, phone)
            self._new.append(phone)
        return phone

    def hang_up(self, phone: Phone) -> None:
        """Closes its sockets."""
        with self._lock:
            if not phone.closed:
                self._selector.unregister(phone.rtp)
                self._selector.unregister(phone.rtcp)
                phone.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failure = error
            self._ending.set()

    def _send(self) -> None:
        order = itertools.count()
        ticks: list[tuple[int, int, Phone]] = []
        delayed: list[tuple[int, int, Phone, bytes, tuple[str, int]]] = []
        while not self._ending.is_set():
            now_ns = time.monotonic_ns()
            with self._lock:
                for phone in self._new:
                    heapq.heappush(ticks, (now_ns, next(order), phone))
                self._new.clear()
                while ticks and ticks[0][0] <= now_ns:
                    due_ns, place, phone = heapq.heappop(ticks)
                    if phone.closed:
                        continue
                    heapq.heappush(ticks, (due_ns + _PTIME_NS, place, phone))
                    for delay_ms, datagram, address in phone.tick():
                        if delay_ms == 0:
                            _put(phone, datagram, address)
                        else:
                            later_ns = due_ns + int(delay_ms * 1_000_000)
                            heapq.heappush(delayed, (later_ns, next(order), phone, datagram, address))
                while delayed and delayed[0][0] <= now_ns:
                    _, _, phone, datagram, address = heapq.heappop(delayed)
                    _put(phone, datagram, address)
            due = [heap[0][0] for heap in (ticks, delayed) if heap]
            wait_s = (min(due) - time.monotonic_ns()) / _NS_PER_S if due else _IDLE_S
            if wait_s > 0:
                time.sleep(min(wait_s, _IDLE_S))

    def _receive(self) -> None:
        while not self._ending.is_set():
            ready = {key.data for key, _ in self._selector.select(timeout=0.05)}
            for phone in ready:
                with self._lock:
                    if not phone.closed:
                        phone.receive()


def _put(phone: Phone, datagram: bytes, address: tuple[str, int]) -> None:
    if not phone.closed:
        try:
            phone.rtp.sendto(datagram, address)
        except (BlockingIOError, ConnectionRefusedError):
            # The network loses it; the agent may have gone already.
            return
