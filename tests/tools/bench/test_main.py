"""Which pieces run, in which order, with which exit code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.bench.samples import reports
from tools.bench import __main__ as bench
from tools.bench.docs import begin_marker, end_marker
from tools.bench.figures import write


class FakeRuns:
    """Stands in for the processes: each leaves its figures, or breaks."""

    def __init__(self, folder: Path, broken: str = "") -> None:
        self.modules: list[str] = []
        self.arguments: list[list[str]] = []
        self._folder = folder
        self._broken = broken

    def __call__(self, command: list[str], *, timeout: float, check: bool) -> Any:
        assert command[:2] == [sys.executable, "-m"]
        self.modules.append(command[2])
        self.arguments.append(command[3:])
        name = next(name for name, each in bench.BENCHMARKS.items() if command[2].endswith(f".{each.module}"))
        if name == self._broken:
            return type("Done", (), {"returncode": 1})
        write(reports()[name], self._folder / f"{name}.json")
        return type("Done", (), {"returncode": 0})


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake = FakeRuns(tmp_path)
    monkeypatch.setattr(subprocess, "run", fake)
    return fake


def test_all_are_run_and_judged(runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([], tmp_path) == 0
    assert len(runs.modules) == len(bench.BENCHMARKS)
    assert capsys.readouterr().out.count(" MET ") == 22


def test_a_missed_target_is_no_failure(
    runs: FakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tools.bench.targets.REPLY_P50_MS", 0.1)
    assert bench.main(["--only", "setup"], tmp_path) == 0
    assert "MISSED" in capsys.readouterr().out


def test_media_is_measured_alone_and_beside_a_conversation(runs: FakeRuns, tmp_path: Path) -> None:
    bench.main(["--only", "media,setup"], tmp_path)
    assert runs.modules == ["tools.bench.media", "tools.bench.beside", "tools.bench.setup_rate"]


def test_a_quick_run_asks_each_for_little(runs: FakeRuns, tmp_path: Path) -> None:
    bench.main(["--only", "voice", "--quick"], tmp_path)
    assert runs.arguments == [["--quick"]]


def test_a_benchmark_that_breaks_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Figures of an earlier run are not taken for those of this one.
    write(reports()["setup"], tmp_path / "setup.json")
    fake = FakeRuns(tmp_path, broken="setup")
    monkeypatch.setattr(subprocess, "run", fake)
    assert bench.main(["--only", "setup,asr"], tmp_path) == bench.EXIT_BROKEN
    assert fake.modules == ["tools.bench.setup_rate", "tools.bench.asr"]
    captured = capsys.readouterr()
    assert "broke: setup" in captured.err
    assert "set-up" not in captured.out.partition("figure")[2]


def test_an_unknown_name_runs_nothing(runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--only", "asr,speed"], tmp_path) == bench.EXIT_USAGE
    assert runs.modules == []
    assert "no benchmark speed" in capsys.readouterr().err


def test_docs_are_written_from_what_was_measured(runs: FakeRuns, tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    names = [*bench.BENCHMARKS, bench.TARGETS]
    document.write_text("".join(f"{begin_marker(name)}\n{end_marker(name)}\n" for name in names), encoding="utf-8")
    write(reports()["setup"], tmp_path / "setup.json")
    assert bench.main(["--write-docs"], tmp_path, document) == 0
    text = document.read_text(encoding="utf-8")
    assert runs.modules == []
    assert "a machine, 2 cores; 2026-01-02 03:04; load average 0.50, 0.25, 0.12." in text
    assert "set-up: INVITE to reply p50 at 50/s" in text
    assert f"{begin_marker('voice')}\n{end_marker('voice')}" in text


def test_a_document_without_markers_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("nothing here", encoding="utf-8")
    write(reports()["setup"], tmp_path / "setup.json")
    assert bench.main(["--write-docs"], tmp_path, document) == bench.EXIT_BROKEN
    assert document.read_text(encoding="utf-8") == "nothing here"
    assert "bench:setup" in capsys.readouterr().err
