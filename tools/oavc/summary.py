"""A call's report, for people."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from tools.caller.report import CallReport, by_transport, medians
from tools.caller.timing import Lead, percentile
from tools.oavc.console import styled


def describe_call(report: CallReport) -> list[str]:
    """Every figure of one call, then the verdict."""
    setup, quality, barge_in = report.setup, report.quality, report.barge_in
    lines = [f"  as heard on the line ({report.transport})"]
    if report.greeting_heard_as:
        lines.append(f"    {'(greeting)':<44} {report.greeting_heard_as}")
    lines += [
        f"    {_short(turn.caller_said):<44} {turn.agent_heard_as or '(nothing)'}"
        f"{styled(f'  [{_ms(turn.voice_to_voice_ms)}]', 'dim')}"
        for turn in report.turns
    ]
    spoken = [turn.voice_to_voice_ms for turn in report.turns if turn.voice_to_voice_ms is not None]
    rows = [
        ("voice to voice", f"median {_ms(statistics.median(spoken) if spoken else None)}"),
        ("set-up", f"{_ms(setup.reply_ms, 1)} to the reply, greeting heard {_ms(setup.greeting_ms)} later"),
        (
            "interruption",
            f"silent {_ms(barge_in.onset_to_silence_ms)} after the caller began, "
            f"{_ms(barge_in.decision_to_silence_ms)} after the decision",
        ),
        (
            "packets",
            f"{report.sent} sent, {quality.received} received, {quality.lost} lost, "
            f"{quality.duplicated} twice, {quality.wrong_timestamp_steps} wrong timestamps",
        ),
        (
            "pace",
            f"off by {_ms(quality.gap_error_p50_ms, 2)} (p50), {_ms(quality.gap_error_p99_ms, 2)} (p99), "
            f"{_ms(quality.gap_error_max_ms, 2)} (max)",
        ),
        *_lead_rows(report.lead),
        *_process_rows(report.rss_mb, report.startup_s),
    ]
    lines += [f"  {name:<15} {value}" for name, value in rows]
    return [*lines, *_verdict(report.problems, judged=_judged([report]))]


def describe_calls(reports: Sequence[CallReport]) -> list[str]:
    """Several calls side by side: how many went well, and the spread of each figure."""
    good = sum(report.ok for report in reports)
    figures: dict[str, Iterable[float | None]] = {
        "set-up ms": (report.setup.reply_ms for report in reports),
        "greeting ms": (report.setup.greeting_ms for report in reports),
        "voice to voice ms": (turn.voice_to_voice_ms for report in reports for turn in report.turns),
        "onset to silence ms": (report.barge_in.onset_to_silence_ms for report in reports),
        "gap error p99 ms": (report.quality.gap_error_p99_ms for report in reports),
    }
    lines = [f"  {good} of {len(reports)} calls went well", f"  {'':<20} {'p50':>8} {'p95':>8} {'max':>8}"]
    for name, values in figures.items():
        known = [value for value in values if value is not None]
        if known:
            row = [percentile(known, 50), percentile(known, 95), max(known)]
            lines.append(f"  {name:<20} " + " ".join(f"{value or 0.0:>8.1f}" for value in row))
    lost = sum(report.quality.lost for report in reports)
    received = sum(report.quality.received for report in reports)
    lines.append(f"  {'packets':<20} {received} received, {lost} lost")
    problems = [f"{report.caller}: {problem}" for report in reports for problem in report.problems]
    return [*lines, *_verdict(problems, judged=_judged(reports))]


def describe_medians(reports: Sequence[CallReport]) -> list[str]:
    """One line for each way to be called."""
    lines = []
    groups = by_transport(reports)
    for transport, its in groups.items():
        named = f" by {transport}" if len(groups) > 1 else ""
        rows = [f"{name} {value:g}" for name, value in medians(its).items() if value is not None]
        lines.append(f"  medians of {len(its)} calls{named}: {', '.join(rows)}")
    return lines


def _judged(reports: Sequence[CallReport]) -> bool:
    return any(report.greeting_heard_as or any(turn.agent_heard_as for turn in report.turns) for report in reports)


def _verdict(problems: Sequence[str], *, judged: bool) -> list[str]:
    if not problems:
        how = " rightly" if judged else "; with what, was not judged"
        return [f"  {styled('OK', 'green', 'bold')}: every question was answered{how}"]
    return [f"  {styled('FAILED', 'red', 'bold')}: {problem}" for problem in problems]


def _lead_rows(lead: Lead | None) -> list[tuple[str, str]]:
    if lead is None:
        return []
    value = f"lowest {_ms(lead.min_ms)}, median {_ms(lead.median_ms)} of audio ahead"
    return [("lead", f"{value}, ran dry {lead.gaps} times while the agent spoke")]


def _process_rows(rss_mb: Mapping[str, float], startup_s: Mapping[str, float]) -> list[tuple[str, str]]:
    rows = []
    if rss_mb:
        each = ", ".join(f"{name} {size:.0f}" for name, size in rss_mb.items())
        rows.append(("memory", f"{sum(rss_mb.values()):.0f} MB: {each}"))
    if startup_s:
        rows.append(("start", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in startup_s.items())))
    return rows


def _short(text: str) -> str:
    return text if len(text) <= 44 else text[:43] + "…"


def _ms(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f} ms"
