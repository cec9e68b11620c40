"""Starts core: reads the settings, or says everything that is wrong with them."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

import uvloop

from core.observability.framework_logs import route_framework_logs
from core.settings import Configuration, ConfigurationError, CoreLogSettings, config_file, load_configuration
from services.common.logs import configure_logging
from services.common.tracing import TracingSettings, configure_tracing

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The process' exit code: 0 after a drain, 1 when it could not start, 2 for a wrong configuration."""
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    parser.add_argument("-c", "--config", help="INI file; else OAVC_CONFIG_FILE, else config/app.ini")
    options = parser.parse_args(arguments)
    # Whoever asks for the file to be read again must not end the process by it: it is read right now.
    at_hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return _run(partial(load_configuration, config_file(os.environ, options.config)))
    finally:
        signal.signal(signal.SIGHUP, at_hangup)


def _run(read: Callable[[], Configuration]) -> int:
    try:
        configuration = read()
        configure_logging(configuration.settings[CoreLogSettings], process="core")
        end_tracing = configure_tracing(configuration.settings[TracingSettings], "opensips-ai-core")
    except ConfigurationError as error:
        return _refuse(error.problems)
    route_framework_logs()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(configuration, read))
    finally:
        end_tracing()


async def _serve(configuration: Configuration, read: Callable[[], Configuration]) -> int:
    loop = asyncio.get_running_loop()
    # A signal that comes before the loop runs again is then for whoever is registered: for `core.reload`.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    # Takes a second and greets on standard error: not before the settings are known to be right, nor before the logs.
    from core.process import Core

    try:
        core = Core(configuration, read)
    except ConfigurationError as error:
        return _refuse(error.problems)
    loop.add_signal_handler(signal.SIGHUP, core.reload)
    try:
        await core.run()
    except* OSError as group:
        log.error("cannot start", extra={"reason": "; ".join(str(error) for error in group.exceptions)})
        return_code = EXIT_FAILED
    else:
        return_code = 0
    return return_code


def _refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"configuration: {problem}\n")
    return EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
