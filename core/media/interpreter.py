"""What the whole interpreter is asked to do for the sake of even packets."""

import gc
import sys

# How long a computing thread may keep the interpreter lock from the wheel.
SWITCH_INTERVAL_S = 0.0002
# Every thread stands still while one lasts, and each object that goes costs a microsecond: often and little at a time.
GC_THRESHOLDS = (700, 4, 3)


def shorten_switch_interval() -> None:
    """So that a packet waits that long at most, not the default's 25 times as much."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))


def settle_garbage_collector() -> None:
    """Takes everything that exists out of later collections, which stop all threads while they last.

    For the process' own start, once all that stays has been imported and built.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
