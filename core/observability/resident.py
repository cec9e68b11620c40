"""How much memory this process holds (proc(5), statm)."""

import os
from pathlib import Path

STATM = Path("/proc/self/statm")
MEGABYTE = 2**20


def resident_mb() -> float:
    """Resident memory in MB; 0 where the system does not tell."""
    try:
        pages = int(STATM.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
