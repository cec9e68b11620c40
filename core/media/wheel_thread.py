"""The thread the wheel turns on: sleeps to absolute deadlines, is scheduled before everything else if it may."""

import ctypes
import logging
import threading
import time

from core.media.priority import WHEEL_PRIORITY, raise_priority
from core.media.wheel import Wheel

log = logging.getLogger(__name__)

_PR_SET_TIMERSLACK = 29
_TIMER_SLACK_NS = 1
# A thread that only ever sleeps until the next packet ends well within this.
_JOIN_TIMEOUT_S = 2.0


class WheelThread:
    """Turns one wheel from `start` to `stop`."""

    def __init__(self, wheel: Wheel, *, realtime: bool) -> None:
        self._wheel = wheel
        self._realtime = realtime
        self._stopping = False
        self._occupied = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtp-wheel", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Somebody rides now: an empty wheel sleeps until told."""
        self._occupied.set()

    def stop(self) -> None:
        """Returns once the thread has ended. Harmless if it never began, or has ended."""
        self._stopping = True
        self._occupied.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_TIMEOUT_S)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        _sharpen_timers()
        if self._realtime:
            _ask_for_priority()
        monotonic = time.monotonic
        sleep = time.sleep
        wheel = self._wheel
        while not self._stopping:
            due = wheel.due()
            if due is None:
                self._occupied.wait()
                self._occupied.clear()
                continue
            remaining = due - monotonic()
            if remaining > 0:
                sleep(remaining)
            wheel.tick(monotonic())


def _sharpen_timers() -> None:
    """The kernel may otherwise wake the thread 50 us late to save power (prctl(2), PR_SET_TIMERSLACK)."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0)


def _ask_for_priority() -> None:
    try:
        raise_priority(WHEEL_PRIORITY)
    except OSError as refusal:
        log.info(
            "real-time priority not permitted: other programs may delay RTP packets",
            extra={"error": str(refusal), "needs": "CAP_SYS_NICE"},
        )
