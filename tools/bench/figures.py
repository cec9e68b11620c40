"""What every benchmark writes down: spreads of what was measured, and the machine they were measured on."""

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.caller.timing import percentile

FOLDER = Path("build/bench")
_CPU_INFO = Path("/proc/cpuinfo")
_DIGITS = 3

# One benchmark's figures, as its JSON file holds them.
Report = dict[str, Any]


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles and the largest value; all None of nothing."""
    figures = {f"p{percent}": percentile(values, percent) for percent in (50, 95, 99)}
    figures["max"] = max(values, default=None)
    return {name: None if value is None else round(value, _DIGITS) for name, value in figures.items()}


def conditions() -> Report:
    """When, on what, and beside how much else (the load averages of 1, 5 and 15 minutes)."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Report | None:
    """None where the benchmark has not been run."""
    if not path.is_file():
        return None
    report: Report = json.loads(path.read_text(encoding="utf-8"))
    return report


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
