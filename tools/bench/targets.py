"""What the figures should be, on two cores without a GPU, and whether they are."""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tools.bench.figures import Report
from tools.bench.tables import markdown

GAP_ERROR_P99_MS = 2.0
CALLS_PER_CORE = 250
REPLY_P50_MS = 2.0
# Of each transport's calls, while the other's are up.
BOTH_GAP_ERROR_P99_MS = 3.0
LEAD_LEAST_MS = 100.0
MEMORY_AFTER_PERCENT = 110.0
WEBHOOK_P50_MS = 10.0
FIRST_AUDIO_P50_MS = 50.0
VOICE_P50_MS = 800.0
VOICE_P95_MS = 1200.0
FINAL_MS = 150.0
# A whole turn may take that long: so may what is left of one. A model that hangs is given its budget first.
TAKEOVER_P50_MS = 1500.0
GRPC_ADDS_PERCENT = 5.0

_MOST = "at most"
_LEAST = "at least"
_HOLDS = {_MOST: operator.le, _LEAST: operator.ge}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure beside its target."""

    what: str
    measured: float | None
    bound: str
    target: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured is not None and bool(_HOLDS[self.bound](self.measured, self.target))


def verdicts(reports: Mapping[str, Report]) -> list[Verdict]:
    """In the order of the benchmarks; those that were not run have none."""
    return [each for name, judge in _JUDGES.items() if name in reports for each in judge(reports[name])]


def verdict_table(judged: list[Verdict]) -> str:
    rows = (
        (
            each.what,
            _number(each.measured),
            f"{each.bound} {each.target:g} {each.unit}",
            "MET" if each.met else "MISSED",
        )
        for each in judged
    )
    return markdown(("figure", "measured", "target", ""), rows)


def _media(report: Report) -> Iterator[Verdict]:
    for run in report["runs"]:
        name = f"media: gap error p99 at {run['calls']} calls"
        yield Verdict(name, run["gap_error_p99_ms"], _MOST, GAP_ERROR_P99_MS, "ms")
    busiest = max(report["runs"], key=lambda run: run["calls"])
    yield Verdict("media: calls a core carries", busiest["calls_per_core"], _LEAST, CALLS_PER_CORE, "calls")


def _beside(report: Report) -> Iterator[Verdict]:
    for run in report["runs"]:
        calls = run["plane"]["calls"]
        if calls:
            name = f"beside a conversation: gap error p99 at {calls} calls"
            yield Verdict(name, run["plane"]["gap_error_p99_ms"], _MOST, GAP_ERROR_P99_MS, "ms")
        name = f"the conversation itself: gap error p99 beside {calls} calls"
        yield Verdict(name, run["conversation"]["gap_error_p99_ms"], _MOST, GAP_ERROR_P99_MS, "ms")


def _setup(report: Report) -> Iterator[Verdict]:
    for run in report["runs"]:
        name = f"set-up: INVITE to reply p50 at {run['rate_per_s']:g}/s"
        yield Verdict(name, run["reply_ms"]["p50"], _MOST, REPLY_P50_MS, "ms")


def _both(report: Report) -> Iterator[Verdict]:
    for name, each in report["transports"].items():
        gap_error_ms = each["gap_error_ms"]["p99"]
        yield Verdict(f"both: {name}'s gap error p99", gap_error_ms, _MOST, BOTH_GAP_ERROR_P99_MS, "ms")
        answered = 100 * each["answered"] / each["questions"]
        yield Verdict(f"both: {name}'s questions answered", answered, _LEAST, 100.0, "%")
    lead_ms = report["transports"]["twilio"]["lead_min_ms"]
    yield Verdict("both: least lead in twilio's buffer", lead_ms, _LEAST, LEAD_LEAST_MS, "ms")
    grown = 100 * report["core"]["rss_after_mb"] / report["core"]["rss_before_mb"]
    yield Verdict("both: memory after, of that before", grown, _MOST, MEMORY_AFTER_PERCENT, "%")
    setup = report["setup"]
    yield Verdict("both: webhook to TwiML p50", setup["webhook_ms"]["p50"], _MOST, WEBHOOK_P50_MS, "ms")
    first_ms = setup["first_audio_ms"]["p50"]
    yield Verdict("both: stream's start to first audio p50", first_ms, _MOST, FIRST_AUDIO_P50_MS, "ms")


def _asr(report: Report) -> Iterator[Verdict]:
    final_ms = report["latency"]["finalize_to_final_ms_p50"]
    yield Verdict("asr: end of turn to final p50", final_ms, _MOST, FINAL_MS, "ms")


def _voice(report: Report) -> Iterator[Verdict]:
    for name, each in sorted(report["sources"].items()):
        if name == "knowledge":
            spread_ms = each["voice_to_voice_ms"]
            yield Verdict("voice to voice p50, from knowledge", spread_ms["p50"], _MOST, VOICE_P50_MS, "ms")
            yield Verdict("voice to voice p95, from knowledge", spread_ms["p95"], _MOST, VOICE_P95_MS, "ms")


def _takeover(report: Report) -> Iterator[Verdict]:
    for run in report["runs"]:
        target_ms = TAKEOVER_P50_MS + (report["budget_ms"] if run["hangs"] else 0)
        name = f"takeover: next audio p50, {run['failure']}"
        yield Verdict(name, run["first_audio_ms"]["p50"], _MOST, target_ms, "ms")


def _grpc(report: Report) -> Iterator[Verdict]:
    for stage, each in sorted(report["stages"].items()):
        for name, what in (("wall_ms", "time"), ("cpu_ms", "CPU time")):
            adds = 100 * (each["figures"][name]["ratio"] - 1)
            yield Verdict(f"grpc: adds to {stage}'s {what}", adds, _MOST, GRPC_ADDS_PERCENT, "%")


_JUDGES = {
    "media": _media,
    "beside": _beside,
    "setup": _setup,
    "both": _both,
    "asr": _asr,
    "voice": _voice,
    "takeover": _takeover,
    "grpc": _grpc,
}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
