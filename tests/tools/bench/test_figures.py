"""Medians, percentiles and the conditions they were taken under."""

from pathlib import Path

from tools.bench.figures import conditions, read, spread, write


def test_spread_takes_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 201)]
    assert spread(values) == {
        "p50": 100.0,
        "p95": 190.0,
        "p99": 198.0,
        "max": 200.0,
    }


def test_spread_of_nothing_is_no_figure() -> None:
    assert spread([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_spread_is_rounded_to_microseconds() -> None:
    assert spread([1.23456])["p50"] == 1.235


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report.json"
    write(conditions(), path)
    report = read(path)
    assert report is not None
    assert "cores" in report["machine"]
    assert len(report["load_average"]) == 3


def test_a_benchmark_that_was_not_run_has_no_report(tmp_path: Path) -> None:
    assert read(tmp_path / "none.json") is None
