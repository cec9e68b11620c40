"""Logs are a static message plus fields, and name the call they belong to."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.common import correlation
from services.common.logs import LogSettings, configure_logging
from services.common.settings import ConfigurationError, load

log = logging.getLogger("oavc.test")


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was logged since it was last asked; the root logger gets its handlers back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    yield lambda: capsys.readouterr().err
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_json_is_one_object_a_line_with_fields_and_call(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(format="json"), process="asr")
    token = correlation.call_id.set("call-7")
    log.info("service ready", extra={"model": "tiny.en", "path": Path("/m")})
    correlation.call_id.reset(token)
    log.debug("not shown")
    line = json.loads(stderr())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "service": "asr",
        "logger": "oavc.test",
        "message": "service ready",
        "model": "tiny.en",
        "path": "/m",
        "call_id": "call-7",
    }


def test_an_exception_is_part_of_its_record(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(format="json"), process="asr")
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        log.exception("failed")
    line = json.loads(stderr())
    assert "call_id" not in line
    assert line["exception"].endswith("ZeroDivisionError: a bug")


def test_console_is_for_people_and_cannot_be_forged(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(format="console"), process="asr")
    log.warning("heard %s", "a\nERROR b", extra={"peer": "x\ny", "n": 3, "empty": ""})
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("failed")
    first, *rest = stderr().splitlines()
    assert first.split(" ", 1)[1] == 'WARNING oavc.test: heard a\\nERROR b peer="x\\ny" n=3 empty=""'
    assert rest[-1] == "ZeroDivisionError"


def test_a_template_of_an_existing_deployment_goes_on_working(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(format="%(levelname)s - %(message)s"), process="asr")
    log.info("ready")
    assert stderr() == "INFO - ready\n"


def test_auto_is_json_where_no_terminal_listens(stderr: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging(LogSettings(), process="asr")
    log.info("ready")
    assert json.loads(stderr())["message"] == "ready"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging(LogSettings(), process="asr")
    log.info("again")
    assert stderr().endswith("oavc.test: again\n")


def test_debug_overrides_the_level(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(level="ERROR"), process="asr", debug=True)
    log.debug("shown")
    assert "shown" in stderr()


def test_warnings_are_logged(stderr: Callable[[], str]) -> None:
    configure_logging(LogSettings(format="json"), process="asr")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert json.loads(stderr())["logger"] == "py.warnings"


def test_a_file_gets_the_same_lines(stderr: Callable[[], str], tmp_path: Path) -> None:
    file = tmp_path / "logs" / "asr.log"
    configure_logging(LogSettings(format="json", file=file), process="asr")
    log.info("ready")
    assert file.read_text(encoding="utf-8") == stderr()


def test_a_file_that_cannot_be_written_is_a_configuration_error(stderr: Callable[[], str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"logging\.file"):
        configure_logging(LogSettings(file=tmp_path), process="asr")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("JSON", "json"), ("text", "console"), ("%(message)s", "%(message)s"), ("%%(message)s", "%(message)s")],
)
def test_existing_names_of_formats_are_accepted(text: str, kept: str) -> None:
    loaded = load([LogSettings], {}, {"LOG_FORMAT": text, "LOG_LEVEL": "debug", "LOG_FILE": "x.log"})
    assert loaded[LogSettings] == LogSettings(format=kept, level="DEBUG", file=Path("x.log"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("xml", "should be auto, json, console"), ("%(nope)s", "not a template"), ("%(message)", "not a template")],
)
def test_an_unknown_format_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load([LogSettings], {}, {"LOG_FORMAT": text})
