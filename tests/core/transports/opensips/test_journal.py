"""What was up when the process died is known to the next one."""

from pathlib import Path

import pytest

from core.transports.opensips import journal as journal_module
from core.transports.opensips.journal import SessionJournal


def test_open_keys_survive_and_ended_ones_do_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal"
    first = SessionJournal(path)
    assert first.open() == set()
    for key in ("a", "b", "c"):
        first.begin(key)
    first.begin("a")
    first.end("b")
    first.end("never")
    second = SessionJournal(path)
    assert second.open() == {"a", "c"}
    second.end("a")
    second.close()
    assert SessionJournal(path).open() == {"c"}
    first.close()


def test_torn_and_foreign_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"+a\nrubbish\n\xff\n+\n-\n+b\n-a\n+c")
    journal = SessionJournal(path)
    assert journal.open() == {"b", "c"}
    journal.close()


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LINES_BEFORE_REWRITING", 10)
    path = tmp_path / "journal"
    journal = SessionJournal(path)
    journal.open()
    journal.begin("stays")
    for number in range(100):
        journal.begin(str(number))
        journal.end(str(number))
    assert len(path.read_text().splitlines()) <= 12
    journal.close()
    assert SessionJournal(path).open() == {"stays"}


def test_without_a_path_nothing_is_written() -> None:
    journal = SessionJournal(None)
    assert journal.open() == set()
    journal.begin("a")
    journal.end("a")
    journal.close()


def test_unwritable_place_costs_the_journal_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    journal = SessionJournal(tmp_path / "file" / "journal")
    assert journal.open() == set()
    journal.begin("a")
    assert "cannot be written" in caplog.text


def test_full_disk_costs_the_journal_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SessionJournal(tmp_path / "journal")
    journal.open()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    journal.begin("a")
    journal.begin("b")
    monkeypatch.undo()
    assert caplog.text.count("cannot be written") == 1
