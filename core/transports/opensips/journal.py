"""The keys of the sessions that are up, on disk, so that the next process can end what a crash left behind."""

import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)

_LINES_BEFORE_REWRITING = 4096
_BEGUN, _ENDED = "+", "-"


class SessionJournal:
    """Appends a line when a session begins and when it has ended.

    Lines survive this process, not the machine: nothing waits for the disk. A journal that cannot be
    written is given up with one warning, and calls go on.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        self._open_keys: set[str] = set()
        self._lines = 0

    def open(self) -> set[str]:
        """Begins a new journal; returns the keys that the last one left open."""
        if self._path is None:
            return set()
        try:
            left = _read(self._path)
            self._open_keys = set(left)
            self._rewrite()
        except OSError as error:
            self._give_up(error)
            return set()
        return left

    def begin(self, key: str) -> None:
        if key not in self._open_keys:
            self._open_keys.add(key)
            self._append(_BEGUN, key)

    def end(self, key: str) -> None:
        if key in self._open_keys:
            self._open_keys.discard(key)
            self._append(_ENDED, key)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, sign: str, key: str) -> None:
        if self._file is None:
            return
        try:
            os.write(self._file, f"{sign}{key}\n".encode())
            self._lines += 1
            if self._lines >= _LINES_BEFORE_REWRITING and self._lines > 4 * len(self._open_keys):
                self._rewrite()
        except OSError as error:
            self._give_up(error)

    def _rewrite(self) -> None:
        assert self._path is not None
        self.close()
        new = self._path.with_name(self._path.name + ".new")
        new.write_text("".join(f"{_BEGUN}{key}\n" for key in sorted(self._open_keys)), encoding="utf-8")
        new.replace(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._open_keys)

    def _give_up(self, error: OSError) -> None:
        self.close()
        _log.warning("session journal cannot be written", extra={"path": str(self._path), "reason": error.strerror})


def _read(path: Path) -> set[str]:
    """Keys that have begun and not ended; a torn or foreign line is skipped."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return set()
    left: set[str] = set()
    for line in text.splitlines():
        sign, key = line[:1], line[1:]
        if sign == _BEGUN and key:
            left.add(key)
        elif sign == _ENDED:
            left.discard(key)
    return left
