"""Calls over both transports at once, and what passes before a caller over Twilio hears something."""

from pathlib import Path

import pytest

from tools.bench import both


@pytest.mark.slow
async def test_calls_of_each_transport_are_answered_and_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(both, "LOG_FOLDER", tmp_path)
    report = await both.measure(2, 3, both.QUESTIONS[:1])
    assert list(report["transports"]) == ["opensips", "twilio"]
    for each in report["transports"].values():
        assert (each["calls"], each["questions"], each["answered"], each["lost"]) == (2, 2, 2, 0)
        assert each["failures"] == []
        assert each["gap_error_ms"]["p50"] is not None
    assert report["transports"]["opensips"]["lead_min_ms"] is None
    assert report["transports"]["twilio"]["lead_min_ms"] is not None
    assert all(report["core"][name] > 0 for name in ("rss_before_mb", "rss_during_mb", "rss_after_mb"))
    assert report["core"]["cpu_percent"] > 0
    assert report["setup"]["webhook_ms"]["p50"] > 0
    assert report["setup"]["first_audio_ms"]["p50"] > 0
