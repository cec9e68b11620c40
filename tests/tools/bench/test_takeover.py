"""One language model fails in the middle of a call, and the next is heard."""

from pathlib import Path

import pytest

from tools.bench import takeover
from tools.bench.takeover import FAILURES, FIRST_WORDS, measure


@pytest.mark.slow
async def test_the_second_model_ends_what_the_first_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(takeover, "LOG_FOLDER", tmp_path)
    report = await measure(1, FAILURES[:2], scripted=True)
    middle, beginning = report["runs"]
    assert [(run["begun_by_the_first"], run["ended_by_the_second"]) for run in (middle, beginning)] == [(1, 1), (0, 1)]
    assert middle["answers"][0].startswith(FIRST_WORDS)
    assert 0 < middle["first_audio_ms"]["p50"] < report["budget_ms"]
