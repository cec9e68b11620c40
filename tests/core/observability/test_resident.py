"""How much memory this process holds."""

from pathlib import Path

import psutil
import pytest

from core.observability import resident


def test_it_is_what_the_system_says() -> None:
    assert resident.resident_mb() == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05)


@pytest.mark.parametrize("content", [None, "", "12", "a b c"])
def test_where_the_system_does_not_tell_it_is_nothing(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statm = tmp_path / "statm"
    if content is not None:
        statm.write_text(content)
    monkeypatch.setattr(resident, "STATM", statm)
    assert resident.resident_mb() == 0.0
