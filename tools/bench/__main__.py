"""Runs the benchmarks one after the other, each in a process of its own, and compares with the targets.

python -m tools.bench [--only media,setup] [--quick] [--write-docs]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.docs import DOCUMENT, MarkerError, replaced
from tools.bench.figures import FOLDER, Report, read
from tools.bench.tables import TABLES, described
from tools.bench.targets import verdict_table, verdicts
from tools.oavc.console import complain, styled, tell

EXIT_BROKEN = 1
EXIT_USAGE = 2
TARGETS = "targets"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this package; it prints its table and writes its figures to build/bench/<name>.json."""

    module: str
    title: str
    arguments: tuple[str, ...] = ()
    quick_arguments: tuple[str, ...] = ("--quick",)
    timeout_s: float = 300.0


BENCHMARKS = {
    "media": Benchmark(
        "media",
        "the media plane alone",
        ("--calls", "50,100,250", "--seconds", "20"),
        ("--calls", "50,250", "--seconds", "4"),
    ),
    "beside": Benchmark("beside", "the media plane beside a conversation"),
    "setup": Benchmark("setup_rate", "set-up of calls"),
    "both": Benchmark("both", "calls over OpenSIPS and over Twilio at once"),
    "asr": Benchmark(
        "asr", "recognition on a telephone line", (), ("--windows", "max(10, len+3)", "--utterances", "3")
    ),
    "voice": Benchmark("voice_to_voice", "voice to voice"),
    "takeover": Benchmark("takeover", "from a failed language model to the next", timeout_s=420.0),
    "grpc": Benchmark("grpc_cost", "what gRPC costs"),
}
# What people call the media plane's two.
_GROUPS = {"media": ("media", "beside")}


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER, document: Path = DOCUMENT) -> int:
    """0 whatever the figures are; 1 where a benchmark broke."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="of %(default)s")
    parser.add_argument("--quick", action="store_true", help="a few of each: whether they run, not what they give")
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables of {folder} into {document}")
    options = parser.parse_args(argv)
    names = [part for name in options.only.split(",") for part in _GROUPS.get(name, (name,))]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        complain(f"tools.bench: no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return EXIT_USAGE
    if options.write_docs:
        return write_docs(folder, document)
    names = list(dict.fromkeys(names))
    broken = [name for name in names if not _run(name, BENCHMARKS[name], quick=options.quick)]
    reports = {name: report for name, report in measured(folder).items() if name in names and name not in broken}
    tell(f"\n{verdict_table(verdicts(reports))}")
    if broken:
        complain(f"tools.bench: broke: {', '.join(broken)}")
    return EXIT_BROKEN if broken else 0


def write_docs(folder: Path, document: Path) -> int:
    """Puts in what has been measured; the rest of the document stays."""
    reports = measured(folder)
    tables = {name: f"{described(report)}\n\n{TABLES[name](report)}" for name, report in reports.items()}
    try:
        text = replaced(document.read_text(encoding="utf-8"), tables | {TARGETS: verdict_table(verdicts(reports))})
    except (MarkerError, OSError) as error:
        complain(f"tools.bench: {document}: {error}")
        return EXIT_BROKEN
    document.write_text(text, encoding="utf-8")
    tell(f"{document}: {', '.join(tables) or 'nothing measured yet'}")
    return 0


def measured(folder: Path) -> dict[str, Report]:
    """The latest figures of each benchmark that has been run."""
    found = {name: read(folder / f"{name}.json") for name in BENCHMARKS}
    return {name: report for name, report in found.items() if report is not None}


def _run(name: str, benchmark: Benchmark, *, quick: bool) -> bool:
    """Whether it ran to its end."""
    tell(styled(f"\n{name}: {benchmark.title}", "bold"))
    arguments = benchmark.quick_arguments if quick else benchmark.arguments
    command = [sys.executable, "-m", f"tools.bench.{benchmark.module}", *arguments]
    began_s = time.monotonic()
    try:
        code = subprocess.run(command, timeout=benchmark.timeout_s, check=False).returncode
    except subprocess.TimeoutExpired:
        complain(f"{name}: not done after {benchmark.timeout_s:g} s")
        return False
    tell(styled(f"({time.monotonic() - began_s:.0f} s)", "dim"))
    return code == 0


if __name__ == "__main__":
    raise SystemExit(main())
