"""pipecat logs through loguru: what matters of it becomes part of our own log."""

import logging
from typing import Any

from loguru import logger as framework_logger

log = logging.getLogger("pipecat")

LEVEL = "WARNING"


def route_framework_logs() -> None:
    """Sends the framework's warnings and errors to the log, and drops the rest."""
    framework_logger.remove()
    framework_logger.add(_forward, level=LEVEL, format="{message}")


def _forward(message: Any) -> None:
    record = message.record
    log.log(record["level"].no, "framework", extra={"detail": record["message"], "source": record["name"]})
