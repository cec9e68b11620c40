"""Real-time priority for the threads that packets wait for, where the system permits it (sched(7))."""

import contextlib
import os
import threading
from typing import Literal

# The lowest two: before every normal thread, below whatever the operator sets higher.
WHEEL_PRIORITY = 2
# The threads that hold the interpreter lock most: the calls' loop, and the one that hears whether there is speech.
# While another program has their core, the wheel waits for it.
LOOP_PRIORITY = 1
_NICENESS = -10

Realtime = Literal["auto", "wheel", "off"]


def raise_priority(priority: int) -> None:
    """Of the calling thread; threads and processes that it begins later start as usual.

    Raises:
        OSError: it is not permitted; the thread is niced instead, if that is.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        raise


def lower_priority(thread_id: int) -> None:
    """Back to usual; harmless where it was not raised, or the thread has ended."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(thread_id, os.SCHED_OTHER, os.sched_param(0))
