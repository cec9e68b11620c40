"""The whole life of a gRPC service's process: settings, logs, tracing, metrics, server, drain, end."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.common.grpc_server import GrpcServer, ServerSettings, Service, server_settings
from services.common.lifecycle import Lifecycle
from services.common.logs import LogSettings, configure_logging
from services.common.metrics import MetricsServer
from services.common.model_errors import ModelBroken, ModelMissing
from services.common.setting_variables import CONFIG_FILE_ENV
from services.common.settings import ConfigurationError, Loaded, Section, load, read_ini, unread_variables
from services.common.tracing import TracingSettings, configure_tracing

log = logging.getLogger(__name__)

CONFIG_FILE_DEFAULT = Path("config/app.ini")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

# How often a model that is missing is looked for again, so that fetching it is all that is needed.
LOAD_RETRY_S = 5.0


@dataclass(frozen=True)
class ServiceProcess:
    """What sets one service's process apart.

    Attributes:
        name: such as "asr", whose server is set in `[asr_service]` or by ASR_SERVICE_PORT and the like.
        port: the default of its port.
        sections: the service's own settings.
        create: makes the service and loads nothing yet; it may raise ConfigurationError. The lifecycle tells the
            service whether it is ready, and why not.
    """

    name: str
    port: int
    sections: Sequence[type[Section]]
    create: Callable[[Loaded, Lifecycle], Service]

    @property
    def server_settings(self) -> type[ServerSettings]:
        return server_settings(self.name, self.port)

    @property
    def all_sections(self) -> tuple[type[Section], ...]:
        return (self.server_settings, *self.sections, LogSettings, TracingSettings)


def run_service(build: Callable[[Mapping[str, str]], ServiceProcess], environ: Mapping[str, str] | None = None) -> int:
    """Serves until SIGTERM; the process' exit code: 0 after a drain, 1 after a failure, 2 for a wrong configuration."""
    environ = os.environ if environ is None else environ
    with contextlib.ExitStack() as stack:
        try:
            process = build(environ)
            loaded = load_service_settings(process, environ)
            debug = loaded[process.server_settings].debug
            configure_logging(loaded[LogSettings], process=process.name, debug=debug)
            stack.callback(configure_tracing(loaded[TracingSettings], f"{process.name}-service"))
            _note_names_without_effect(process, environ)
            return asyncio.run(serve(process, loaded))
        except ConfigurationError as error:
            for problem in error.problems:
                print(f"configuration: {problem}", file=sys.stderr)  # noqa: T201  for whoever typed the command
            return EXIT_CONFIGURATION


def load_service_settings(process: ServiceProcess, environ: Mapping[str, str]) -> Loaded:
    """From the file that OAVC_CONFIG_FILE names, else the default one if it is there, and the environment.

    Raises:
        ConfigurationError: with every problem.
    """
    # The file is shared with core and the other services, whose sections are theirs to check.
    return load(process.all_sections, read_configuration(environ), environ, ignore={"*"})


def read_configuration(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The file of settings; empty where none is named and the default one does not exist."""
    named = environ.get(CONFIG_FILE_ENV)
    if named:
        return read_ini(Path(named))
    return read_ini(CONFIG_FILE_DEFAULT) if CONFIG_FILE_DEFAULT.exists() else {}


async def serve(process: ServiceProcess, loaded: Loaded, lifecycle: Lifecycle | None = None) -> int:
    """Listens at once, loads meanwhile, drains when asked to; the exit code.

    Raises:
        ConfigurationError: the service cannot be made, or loaded, with these settings.
    """
    lifecycle = lifecycle or Lifecycle()
    settings = loaded[process.server_settings]
    service = process.create(loaded, lifecycle)
    server = GrpcServer(service, settings, lifecycle)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        await stack.enter_async_context(lifecycle.signals())
        try:
            if settings.metrics_port is not None:
                metrics = MetricsServer(settings.host, settings.metrics_port)
                stack.callback(metrics.close)
                log.info("metrics served", extra={"port": metrics.port})
            port = await server.start()
            stack.push_async_callback(server.stop)
        except OSError as error:
            log.error("cannot start", extra={"reason": str(error)})
            return EXIT_FAILED
        log.info("listening", extra={"host": settings.host, "port": port})
        loading = asyncio.create_task(load_until_ready(service, lifecycle))
        draining = asyncio.create_task(lifecycle.draining.wait())
        stack.callback(draining.cancel)
        stack.push_async_callback(_end, loading)
        await asyncio.wait({loading, draining}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and (failure := loading.exception()) is not None:
            if isinstance(failure, ConfigurationError):
                raise failure
            log.error("loading failed", exc_info=failure)
            return EXIT_FAILED
        await draining
    log.info("stopped")
    return EXIT_OK


async def load_until_ready(service: Service, lifecycle: Lifecycle, retry_s: float = LOAD_RETRY_S) -> None:
    """Loads the service, as often as it takes for its model to be there; any other failure is raised."""
    lifecycle.not_ready("loading the model")
    reported = ""
    while True:
        started_s = time.monotonic()
        try:
            await service.load()
        except (ModelMissing, ModelBroken) as error:
            lifecycle.not_ready(error.reason, error.action)
            if str(error) != reported:
                reported = str(error)
                log.error("model not usable", extra={"reason": error.reason, "action": error.action})
            await asyncio.sleep(retry_s)
            continue
        lifecycle.ready()
        log.info("ready", extra={"load_s": round(time.monotonic() - started_s, 3)})
        return


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _note_names_without_effect(process: ServiceProcess, environ: Mapping[str, str]) -> None:
    # Core tells of those that resemble no section of anybody's.
    for told in unread_variables(process.all_sections, environ):
        log.warning("variable that nobody reads", extra={"variable": told})
    names = sorted(name for name in environ if name.endswith("_HOT_RELOAD") or name == "DEVELOPMENT_MODE")
    if names:
        log.info("variables without effect", extra={"names": ", ".join(names)})
