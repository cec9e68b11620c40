"""What the framework logs: warnings and errors reach our log, chatter and standard error do not."""

import logging
import sys
from collections.abc import Iterator

import pytest
from loguru import logger as framework_logger

from core.observability.framework_logs import route_framework_logs


@pytest.fixture(autouse=True)
def routed() -> Iterator[None]:
    route_framework_logs()
    yield
    framework_logger.remove()
    framework_logger.add(sys.stderr)


def test_warnings_and_errors_become_ours(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    framework_logger.warning("queue {} is full", 7)
    framework_logger.error("broken")
    assert [(record.levelname, record.getMessage(), record.__dict__["detail"]) for record in caplog.records] == [
        ("WARNING", "framework", "queue 7 is full"),
        ("ERROR", "framework", "broken"),
    ]
    assert caplog.records[0].name == "pipecat"
    assert caplog.records[0].__dict__["source"] == __name__
    assert capsys.readouterr() == ("", "")


def test_chatter_is_dropped(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    framework_logger.info("Loading Silero VAD model...")
    framework_logger.debug("what the caller said")
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")
