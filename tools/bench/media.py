"""How evenly, and at what cost, the media plane moves calls: `python -m tools.bench.media --calls 50,250`."""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.media_load import PERIOD_S, Arrivals, Load

_REPORT = Path("build/bench/media.json")
_MIN_PORT, _MAX_PORT = 50_000, 59_999
_SAMPLES_PER_PACKET = 160
# The first second finds the callers' sources and fills the queues.
_WARM_UP_S = 1.0
_STOP_TIMEOUT_S = 20.0
_COLUMNS = (
    ("calls", "calls", "d"),
    ("p50", "gap_error_p50_ms", ".3f"),
    ("p99", "gap_error_p99_ms", ".3f"),
    ("p99.9", "gap_error_p999_ms", ".3f"),
    ("max ms", "gap_error_max_ms", ".3f"),
    ("lost", "lost", "d"),
    ("bad ts", "wrong_timestamp_steps", "d"),
    ("echo p50", "echo_p50_ms", ".1f"),
    ("p99 ms", "echo_p99_ms", ".1f"),
    ("cpu %", "cpu_percent", ".1f"),
    ("wheel %", "wheel_cpu_percent", ".1f"),
    ("us/frame", "cpu_us_per_frame", ".1f"),
    ("calls/core", "calls_per_core", ".0f"),
    ("gen p99", "generator_lateness_p99_ms", ".3f"),
    ("load", "load_average", ".2f"),
)


def measure(calls: int, seconds: float, *, busy: float, uvloop: bool, realtime: str) -> dict[str, Any]:
    """One run of the plane in a process of its own, with the callers in this one."""
    load = Load(calls)
    request = {
        "peers": [rtp.port for rtp in load.sockets],
        "min_port": _MIN_PORT,
        "max_port": _MAX_PORT,
        "busy": busy,
        "uvloop": uvloop,
        "realtime": realtime,
    }
    load_average = os.getloadavg()[0]
    # One thread for numpy: the other core belongs to the callers.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tools.bench.media_plane"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as plane:
        assert plane.stdin is not None
        assert plane.stdout is not None
        print(json.dumps(request), file=plane.stdin, flush=True)
        ready = json.loads(plane.stdout.readline())
        process, wheel = Path(f"/proc/{plane.pid}/stat"), Path(f"/proc/{plane.pid}/task/{ready['wheel']}/stat")
        before, began = (_cpu_s(process), _cpu_s(wheel)), time.monotonic()
        load.run(ready["ports"], seconds)
        elapsed_s = time.monotonic() - began
        after = (_cpu_s(process), _cpu_s(wheel))
        print(file=plane.stdin, flush=True)
        plane_says = json.loads(plane.stdout.readline())
        plane.wait(_STOP_TIMEOUT_S)
    load.close()
    cpu = (after[0] - before[0]) / elapsed_s
    return {
        "calls": calls,
        "seconds": seconds,
        "busy": busy,
        "uvloop": uvloop,
        "realtime": realtime,
        **_pacing(load.arrivals),
        **_echo(load),
        "cpu_percent": 100 * cpu,
        "wheel_cpu_percent": 100 * (after[1] - before[1]) / elapsed_s,
        "cpu_us_per_frame": 1e6 * cpu * PERIOD_S / calls,
        "calls_per_core": calls / cpu,
        "generator_lateness_p99_ms": 1000 * float(np.percentile(load.lateness_s, 99)),
        "generator_lateness_max_ms": 1000 * max(load.lateness_s),
        "load_average": load_average,
        "load_average_after": os.getloadavg()[0],
        **plane_says,
    }


def _pacing(calls: list[Arrivals]) -> dict[str, float]:
    errors: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    lost = wrong_steps = received = 0
    for arrivals in calls:
        at_s = np.array(arrivals.at_s)
        settled = at_s > at_s[0] + _WARM_UP_S
        numbers = np.diff(np.array(arrivals.sequence_numbers)[settled]) & 0xFFFF
        timestamps = np.diff(np.array(arrivals.timestamps)[settled]) & 0xFFFFFFFF
        errors.append(np.abs(np.diff(at_s[settled]) - PERIOD_S * numbers) * 1000)
        lost += int(np.sum(numbers - 1))
        wrong_steps += int(np.sum(timestamps != _SAMPLES_PER_PACKET * numbers))
        received += int(np.sum(settled))
    error_ms = np.concatenate(errors)
    p50, p99, p999 = np.percentile(error_ms, (50, 99, 99.9))
    return {
        "packets": received,
        "gap_error_p50_ms": float(p50),
        "gap_error_p99_ms": float(p99),
        "gap_error_p999_ms": float(p999),
        "gap_error_max_ms": float(error_ms.max()),
        "lost": lost,
        "wrong_timestamp_steps": wrong_steps,
    }


def _echo(load: Load) -> dict[str, float]:
    """How long audio takes from the caller's socket through decoder, loop and encoder, back to it."""
    delays = []
    heard = total = 0
    for arrivals, sent_at_s in zip(load.arrivals, load.sent_at_s, strict=True):
        total += len(sent_at_s)
        for at_s, packet in zip(arrivals.at_s, arrivals.echoed, strict=True):
            if 0 <= packet < len(sent_at_s):
                heard += 1
                delays.append(at_s - sent_at_s[packet])
    p50, p99 = np.percentile(delays, (50, 99)) * 1000
    return {"echo_p50_ms": float(p50), "echo_p99_ms": float(p99), "echoed_share": heard / total}


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print_row(cells: Iterable[str]) -> None:
    sys.stdout.write(" ".join(cells) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", default="50,100,250", help="how many at once, one run for each number")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument(
        "--busy", type=float, nargs="?", const=1.0, default=0.0, help="share of the plane's event loop that computes"
    )
    parser.add_argument("--no-uvloop", action="store_true", help="asyncio's own event loop")
    parser.add_argument("--realtime", choices=("auto", "wheel", "off"), default="auto", help="threads with priority")
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    runs = []
    _print_row(f"{title:>10}" for title, _, _ in _COLUMNS)
    for calls in map(int, arguments.calls.split(",")):
        run = measure(
            calls,
            arguments.seconds,
            busy=arguments.busy,
            uvloop=not arguments.no_uvloop,
            realtime=arguments.realtime,
        )
        runs.append(run)
        _print_row(f"{run[name]:>10{form}}" for _, name, form in _COLUMNS)
    _REPORT.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "runs": runs,
    }
    _REPORT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
