"""The process' life within this one: exit codes, what is served meanwhile, and the end on SIGTERM."""

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.__main__ import EXIT_CONFIGURATION, EXIT_FAILED, main
from tests.core.test_process import environment

WAIT_S = 30.0


@pytest.fixture(autouse=True)
def _as_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name not in ("PATH", "HOME", "PYTEST_CURRENT_TEST"):
            monkeypatch.delenv(name)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    gc.unfreeze()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "app.ini"
    path.write_text("[performance]\ndrain_timeout_s = 1\n")
    return path


class Watcher(threading.Thread):
    """Asks for the status until there is one, then ends the process politely."""

    def __init__(self) -> None:
        super().__init__(name="watcher")
        self._url = f"http://127.0.0.1:{os.environ['MANAGEMENT_PORT']}"
        self.seen: dict[str, tuple[int, dict[str, object]]] = {}

    def run(self) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while "/api/v1/status" not in self.seen and time.monotonic() < deadline_s:
            time.sleep(0.05)
            with contextlib.suppress(OSError):
                for path in ("/health/ready", "/api/v1/status"):
                    self.seen[path] = self._get(path)
        os.kill(os.getpid(), signal.SIGTERM)

    def _get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(self._url + path, timeout=WAIT_S) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def test_serves_until_sigterm_and_ends_with_0(configuration: Path) -> None:
    watcher = Watcher()
    watcher.start()
    assert main(["--config", str(configuration)]) == 0
    watcher.join()
    status, body = watcher.seen["/health/ready"]
    assert (status, body["status"]) == (503, "not ready")
    assert "opensips is not connected" in str(body["reasons"])
    assert watcher.seen["/api/v1/status"][1]["services"] == {"asr": "connected", "llm": "connected", "tts": "connected"}


def test_a_taken_port_ends_with_1(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(os.environ["MANAGEMENT_PORT"])))
        taken.listen()
        assert main(["--config", str(configuration)]) == EXIT_FAILED
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "cannot start" in [line["message"] for line in lines]


def test_wrong_settings_end_with_2(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration.write_text("[nonsense]\n[audio]\nvad_threshold = 7\n")
    assert main(["--config", str(configuration)]) == EXIT_CONFIGURATION
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told] == ["[nonsense]", "audio.vad_threshold"]


@pytest.mark.parametrize(("variable", "value"), [("ASR_PROVIDER", "ears"), ("KNOWLEDGE_FILE", "/nowhere.md")])
def test_what_cannot_be_built_ends_with_2(
    configuration: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["--config", str(configuration)]) == EXIT_CONFIGURATION
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("configuration: ")
    assert value in told
