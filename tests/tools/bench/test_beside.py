"""The conversation that is measured beside the media plane."""

from pathlib import Path

import pytest

from tools.bench import beside
from tools.bench.voice_to_voice import QUESTIONS


@pytest.mark.slow
async def test_calls_are_paced_beside_a_conversation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(beside, "LOG_FOLDER", tmp_path)
    report = await beside.measure((4,), 1.5, QUESTIONS[:1], scripted=True)
    (run,) = report["runs"]
    assert run["plane"]["calls"] == 4
    assert run["plane"]["gap_error_p50_ms"] is not None
    assert run["conversation"]["turns"] == run["conversation"]["answered"] == 1
    assert run["conversation"]["gap_error_p50_ms"] is not None
    assert run["conversation"]["packets"] > 50
