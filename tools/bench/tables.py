"""The figures of each benchmark's JSON file as Markdown tables: on the terminal and in docs/benchmarks.md the same."""

from collections.abc import Callable, Iterable, Sequence

from tools.bench.figures import Report

_STAGES = ("endpoint", "recognition", "answer", "synthesis", "playout", "wire")
_GRPC_UNITS = {"wall_ms": "until done, ms", "cpu_ms": "CPU, ms"}


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; None is a dash, numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    rule = [
        "-" * max(2, width) if number == 0 else "-" * max(2, width - 1) + ":" for number, width in enumerate(widths)
    ]
    lines = [header, rule, *cells]
    return "\n".join("| " + " | ".join(_padded(line, widths)) + " |" for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    return (
        cell.ljust(width) if number == 0 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(line, widths, strict=True))
    )


def media_table(report: Report) -> str:
    return markdown(
        ("calls", "gap error p50 ms", "p99", "max", "lost", "CPU %", "µs/frame", "calls/core", "generator late p99 ms"),
        (_plane_row(run) for run in report["runs"]),
    )


def _plane_row(run: Report) -> tuple[object, ...]:
    return (
        run["calls"],
        _fixed(run["gap_error_p50_ms"], 3),
        _fixed(run["gap_error_p99_ms"], 3),
        _fixed(run["gap_error_max_ms"], 2),
        run["lost"],
        _fixed(run["cpu_percent"], 1),
        _fixed(run["cpu_us_per_frame"], 1),
        _fixed(run["calls_per_core"], 0),
        _fixed(run["generator_lateness_p99_ms"], 3),
    )


def beside_table(report: Report) -> str:
    header = (
        "calls beside",
        "their gap error p50 ms",
        "p99",
        "max",
        "lost",
        "conversation's gap error p50 ms",
        "p99",
        "max",
        "lost",
        "voice to voice p50 ms",
    )
    return markdown(header, (_beside_row(run["plane"], run["conversation"]) for run in report["runs"]))


def _beside_row(plane: Report, conversation: Report) -> tuple[object, ...]:
    return (
        plane["calls"],
        _fixed(plane.get("gap_error_p50_ms"), 3),
        _fixed(plane.get("gap_error_p99_ms"), 3),
        _fixed(plane.get("gap_error_max_ms"), 2),
        plane.get("lost"),
        _fixed(conversation["gap_error_p50_ms"], 3),
        _fixed(conversation["gap_error_p99_ms"], 3),
        _fixed(conversation["gap_error_max_ms"], 2),
        conversation["lost"],
        _fixed(conversation["voice_to_voice_p50_ms"], 0),
    )


def setup_table(report: Report) -> str:
    header = (
        "calls a second",
        "calls",
        "not answered",
        "reply p50 ms",
        "p95",
        "p99",
        "max",
        "reply to first packet p50 ms",
        "p99",
        "core's CPU ms/call",
    )
    rows = [
        (
            f"{run['rate_per_s']:g}",
            run["calls"],
            run["refused"] + run["unanswered"] + run["silent"],
            *(_fixed(run["reply_ms"][name], 2) for name in ("p50", "p95", "p99", "max")),
            *(_fixed(run["first_packet_ms"][name], 2) for name in ("p50", "p99")),
            _fixed(run["core_cpu_ms_per_call"], 1),
        )
        for run in report["runs"]
    ]
    return markdown(header, rows) + f"\n\nThe first call after core's start: {_fixed(report['first_call_ms'], 2)} ms."


def both_table(report: Report) -> str:
    calls = markdown(
        (
            "transport",
            "calls",
            "answered",
            "gap error p50 ms",
            "p99",
            "max",
            "lost",
            "lead least ms",
            "p50",
            "voice to voice p50 ms",
            "p95",
        ),
        (_both_row(name, each) for name, each in report["transports"].items()),
    )
    core = report["core"]
    setup = report["setup"]
    process = markdown(
        ("core", "value"),
        (
            ("CPU of one core, %", _fixed(core["cpu_percent"], 1)),
            ("memory before, MB", _fixed(core["rss_before_mb"], 1)),
            ("most memory during, MB", _fixed(core["rss_during_mb"], 1)),
            ("memory after, MB", _fixed(core["rss_after_mb"], 1)),
            (f"webhook to TwiML p50 ms ({setup['calls']} calls)", _fixed(setup["webhook_ms"]["p50"], 2)),
            ("webhook to TwiML p99 ms", _fixed(setup["webhook_ms"]["p99"], 2)),
            ("stream's start to first audio p50 ms", _fixed(setup["first_audio_ms"]["p50"], 2)),
            ("stream's start to first audio p99 ms", _fixed(setup["first_audio_ms"]["p99"], 2)),
        ),
    )
    wrong = "".join(f"\n- {failure}" for each in report["transports"].values() for failure in each["failures"])
    return f"{calls}\n\n{process}\n\nFailures:{wrong or ' none.'}"


def _both_row(name: str, each: Report) -> tuple[object, ...]:
    gaps, waits = each["gap_error_ms"], each["voice_to_voice_ms"]
    return (
        name,
        each["calls"],
        f"{each['answered']}/{each['questions']}",
        *(_fixed(gaps[figure], 3) for figure in ("p50", "p99")),
        _fixed(gaps["max"], 2),
        each["lost"],
        *(_fixed(each[figure], 0) for figure in ("lead_min_ms", "lead_p50_ms")),
        *(_fixed(waits[figure], 0) for figure in ("p50", "p95")),
    )


def asr_table(report: Report) -> str:
    windows = markdown(
        ("window", "line", "word error rate %", "exact", "read again", "CPU s/phrase", "pass ms"),
        (
            (
                each["window"],
                each["condition"],
                _fixed(each["word_error_rate_percent"], 1),
                f"{each['exact']}/{each['phrases']}",
                each["read_again"],
                _fixed(each["cpu_s_per_phrase"], 3),
                _fixed(each["wall_ms_median"], 1),
            )
            for each in report["windows"]
        ),
    )
    latency = markdown(
        ("over gRPC, in real time", "value"), ((name, value) for name, value in report["latency"].items())
    )
    return f"{windows}\n\n{latency}"


def voice_table(report: Report) -> str:
    header = ("source", "turns", "answered", "p50 ms", "p95", "max", *_STAGES)
    rows = [
        (
            name,
            each["turns"],
            each["answered"],
            *(_fixed(each["voice_to_voice_ms"][figure], 0) for figure in ("p50", "p95", "max")),
            *(_fixed(each["stages_ms"].get(stage), 0) for stage in _STAGES),
        )
        for name, each in sorted(report["sources"].items())
    ]
    wrong = "".join(f"\n- {problem}" for problem in report["problems"]) or " none."
    return f"{markdown(header, rows)}\n\nWrong answers and failures:{wrong}"


def grpc_table(report: Report) -> str:
    rows = [
        (
            f"{stage}: {_GRPC_UNITS.get(name) or name.removesuffix('_ms').replace('_', ' ') + ', ms'}",
            _fixed(figure["in_process"], 2),
            _fixed(figure["grpc"], 2),
            f"{100 * (figure['ratio'] - 1):+.1f} %",
            f"{figure['added']:+.2f}",
        )
        for stage, each in sorted(report["stages"].items())
        for name, figure in each["figures"].items()
    ]
    return markdown(("median", "in process", "over gRPC", "gRPC adds", "within a pair, ms"), rows)


def takeover_table(report: Report) -> str:
    header = ("the first model", "calls", "begun by it", "ended by the second", "next audio p50 ms", "p95", "max")
    rows = [
        (
            run["failure"],
            run["calls"],
            run["begun_by_the_first"],
            run["ended_by_the_second"],
            *(_fixed(run["first_audio_ms"][figure], 0) for figure in ("p50", "p95", "max")),
        )
        for run in report["runs"]
    ]
    return f"{markdown(header, rows)}\n\nThe budget: {report['budget_ms']} ms."


TABLES: dict[str, Callable[[Report], str]] = {
    "media": media_table,
    "beside": beside_table,
    "setup": setup_table,
    "both": both_table,
    "asr": asr_table,
    "voice": voice_table,
    "takeover": takeover_table,
    "grpc": grpc_table,
}


def described(report: Report) -> str:
    """When, where and beside what the figures were taken."""
    at = str(report.get("at") or report.get("date"))[:16].replace("T", " ")
    loads = (
        report.get("load_average") or report.get("load") or [run.get("load_average") for run in report.get("runs", [])]
    )
    numbers = loads if isinstance(loads, list) else [loads]
    load = ", ".join(_fixed(each, 2) or "-" for each in numbers)
    return f"{report['machine']}; {at}; load average {load}."


def _fixed(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
