"""Calls placed at a rate, and the time to their replies."""

from pathlib import Path

import pytest

from tools.bench import setup_rate


async def test_calls_to_a_real_core_are_answered_and_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup_rate, "LOG_FOLDER", tmp_path)
    report = await setup_rate.measure(((10.0, 4),), hold_s=0.3)
    (run,) = report["runs"]
    assert (run["refused"], run["unanswered"], run["silent"]) == (0, 0, 0)
    assert 0 < run["reply_ms"]["p50"] <= run["reply_ms"]["max"]
    assert run["first_packet_ms"]["max"] < 300
    assert report["first_call_ms"] > 0
    assert run["core_cpu_ms_per_call"] > 0
