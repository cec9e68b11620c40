"""Structured logs: a static message plus fields, with the call they belong to.

log = logging.getLogger(__name__)
log.info("service ready", extra={"model": "tiny.en", "load_s": 0.4})
"""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pydantic

from services.common import correlation
from services.common.setting_errors import ConfigurationError
from services.common.settings import Section, key

# What every record carries; anything else came with `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class LogSettings(Section):
    section = "logging"

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = key(
        "INFO", env="LOG_LEVEL", help="Records below this level are dropped."
    )
    format: str = key(
        "auto",
        env="LOG_FORMAT",
        help="json: one JSON object a line. console: for people. auto: console on a terminal, else json. "
        "Or a template of Python's logging, such as %(asctime)s %(message)s.",
    )
    file: Path | None = key(
        None, env="LOG_FILE", help="Also append to this file; it may be rotated by another program."
    )

    @pydantic.field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if "%(" in value:
            # Files written for a reader that expands % have it doubled.
            template = value.replace("%%(", "%(")
            try:
                logging.Formatter(template).format(logging.makeLogRecord({}))
            except (ValueError, KeyError) as error:
                raise ValueError(f"not a template of Python's logging: {error}") from error
            return template
        known = {"text": "console"}.get(value.lower(), value.lower())
        if known not in {"auto", "json", "console"}:
            raise ValueError("should be auto, json, console, or a template with %(message)s")
        return known


def configure_logging(settings: LogSettings, *, process: str, debug: bool = False) -> None:
    """Gives the root logger its handlers, and replaces those it had.

    Args:
        process: this process' name, a field of every record.
        debug: everything is logged, whatever the level set.

    Raises:
        ConfigurationError: the log file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if settings.file is not None:
        try:
            settings.file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.handlers.WatchedFileHandler(settings.file, encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError([f"logging.file: {settings.file}: {error.strerror}"]) from error
    formatter = _formatter(settings.format, process)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(_add_call_id)
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else settings.level)
    logging.captureWarnings(True)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What the record was given beside its message."""
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={_bare(value)}" for name, value in fields_of(record).items())
        text = f"{clock} {record.levelname:<7} {record.name}: {_one_line(record.getMessage())}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _formatter(form: str, process: str) -> logging.Formatter:
    if "%(" in form:
        return logging.Formatter(form)
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    return JsonFormatter(process) if form == "json" else ConsoleFormatter()


def _add_call_id(record: logging.LogRecord) -> bool:
    name = correlation.call_id.get()
    if name and not hasattr(record, "call_id"):
        record.call_id = name
    return True


def _bare(value: object) -> str:
    """Quoted only where it could be misread."""
    text = str(value)
    return text if text and text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    # What a peer sent must not be able to forge a line.
    return text.replace("\r", "\\r").replace("\n", "\\n")
