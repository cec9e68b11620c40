"""A service's process from its settings to its end."""

import asyncio
import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from services.common import process as process_module
from services.common.grpc_server import GrpcServer
from services.common.health_probe import main as probe
from services.common.lifecycle import Lifecycle, State
from services.common.model_errors import ModelBroken, ModelMissing
from services.common.process import (
    ServiceProcess,
    load_service_settings,
    load_until_ready,
    read_configuration,
    run_service,
    serve,
)
from services.common.settings import ConfigurationError, Loaded, Section, key
from services.common.tests.echo_service import EchoService, call

REPOSITORY = Path(__file__).parents[3]


class EchoSettings(Section):
    section = "echo"

    model: str = key("small", env="ECHO_MODEL", help="The model.")


def build(service: EchoService) -> ServiceProcess:
    def create(loaded: Loaded, lifecycle: Lifecycle) -> EchoService:
        return service

    return ServiceProcess("echo", 0, (EchoSettings,), create)


@pytest.fixture
async def service() -> EchoService:
    return EchoService()


@contextlib.asynccontextmanager
async def served(
    service: EchoService, lifecycle: Lifecycle, environ: Mapping[str, str]
) -> AsyncIterator[asyncio.Task[int]]:
    process = build(service)
    loaded = load_service_settings(process, {"ECHO_BIND_IP": "127.0.0.1", **environ})
    task = asyncio.create_task(serve(process, loaded, lifecycle))
    try:
        yield task
    finally:
        lifecycle.request_stop("end of test")
        await asyncio.wait_for(task, 10)


async def until(lifecycle: Lifecycle, condition: Callable[[], bool]) -> None:
    """Waits for a change of state that makes the condition true."""
    changed = asyncio.Event()
    lifecycle.on_change(changed.set)
    async with asyncio.timeout(5):
        while not condition():
            changed.clear()
            await changed.wait()


async def test_a_process_listens_at_once_loads_meanwhile_and_ends_with_0(
    service: EchoService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []
    start = GrpcServer.start

    async def noted(self: GrpcServer) -> int:
        ports.append(await start(self))
        return ports[-1]

    monkeypatch.setattr(GrpcServer, "start", noted)
    lifecycle = Lifecycle()
    async with served(service, lifecycle, {"ECHO_METRICS_PORT": "0"}) as task:
        await until(lifecycle, lambda: lifecycle.readiness.ready)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            assert await call(channel, "Echo") == b":x"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0
    assert service.closed
    assert lifecycle.state is State.STOPPED


async def test_a_stop_while_loading_ends_with_0(service: EchoService) -> None:
    lifecycle = Lifecycle()
    service.failure = ModelMissing(Path("models/x"), "oavc models fetch x")
    async with served(service, lifecycle, {}) as task:
        await until(lifecycle, lambda: "model missing" in lifecycle.readiness.reason)
        lifecycle.request_stop("test")
        assert await asyncio.wait_for(task, 10) == 0


async def test_a_bug_while_loading_ends_the_process_with_1(
    service: EchoService, caplog: pytest.LogCaptureFixture
) -> None:
    service.failure = ZeroDivisionError("a bug")
    async with served(service, Lifecycle(), {}) as task:
        assert await asyncio.wait_for(task, 10) == 1
    assert "loading failed" in caplog.messages
    assert service.closed


async def test_a_port_in_use_ends_the_process_with_1(service: EchoService, caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, served(service, Lifecycle(), {"ECHO_SERVICE_PORT": str(port)}) as task:
        assert await asyncio.wait_for(task, 10) == 1
    assert "cannot start" in caplog.messages


@pytest.mark.parametrize("error", [ModelMissing(Path("m"), "get m"), ModelBroken(Path("m"), "cut short", "get m")])
async def test_a_model_is_looked_for_again_until_it_is_there(
    service: EchoService, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    service.failure = error
    lifecycle = Lifecycle()
    loading = asyncio.create_task(load_until_ready(service, lifecycle, retry_s=0))
    await asyncio.wait_for(service.loaded_thrice.wait(), 5)
    assert "get m" in lifecycle.readiness.action
    service.failure = None
    await asyncio.wait_for(loading, 5)
    assert lifecycle.readiness.ready
    assert caplog.messages.count("model not usable") == 1


def test_every_configuration_error_is_printed_and_the_exit_code_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[echo]\nmodle = x\n[asr]\nhost = localhost\n", encoding="utf-8")
    environ = {"OAVC_CONFIG_FILE": str(file), "ECHO_SERVICE_PORT": "x", "LOG_LEVEL": "LOUD"}
    assert run_service(lambda _: ServiceProcess("echo", 0, (EchoSettings,), lambda *_: EchoService()), environ) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "configuration: echo.modle: unknown key, did you mean 'model'?"
    assert lines[1].startswith("configuration: echo_service.port (ECHO_SERVICE_PORT): ")
    assert lines[2].startswith("configuration: logging.level (LOG_LEVEL): ")


def test_a_service_may_refuse_its_settings_when_it_is_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(loaded: Loaded, lifecycle: Lifecycle) -> EchoService:
        raise ConfigurationError(["echo.model: no engine reads it"])

    # The suite's own logging stays.
    monkeypatch.setattr(process_module, "configure_logging", lambda *_, **__: None)
    assert run_service(lambda _: ServiceProcess("echo", 0, (EchoSettings,), create), {"ECHO_HOT_RELOAD": "1"}) == 2
    assert capsys.readouterr().err == "configuration: echo.model: no engine reads it\n"


def test_settings_that_prove_wrong_while_loading_end_the_process_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ConfigurationError(["echo.model: too large"])
    monkeypatch.setattr(process_module, "configure_logging", lambda *_, **__: None)
    process = ServiceProcess("echo", 0, (EchoSettings,), lambda *_: EchoService(wrong))
    assert run_service(lambda _: process, {"ECHO_BIND_IP": "127.0.0.1"}) == 2
    assert capsys.readouterr().err == "configuration: echo.model: too large\n"


def test_a_file_that_is_named_must_exist_and_the_default_one_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_configuration({}) == {}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "app.ini").write_text("[echo]\nmodel = large\n", encoding="utf-8")
    assert read_configuration({}) == {"echo": {"model": "large"}}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration({"OAVC_CONFIG_FILE": "none.ini"})


def test_names_that_do_nothing_here_are_accepted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    process = ServiceProcess("echo", 0, (), lambda _loaded, _lifecycle: EchoService())
    environ = {"DEVELOPMENT_MODE": "true", "ASR_HOT_RELOAD": "1", "PATH": "x", "OAVC_LLM_TOP_P": "1"}
    process_module._note_names_without_effect(process, environ | {"OAVC_ECHO_SERVICE_PROT": "1"})
    misspelt, others = caplog.records
    assert misspelt.message == "variable that nobody reads"
    assert misspelt.__dict__["variable"] == "OAVC_ECHO_SERVICE_PROT (did you mean OAVC_ECHO_SERVICE_PORT?)"
    assert others.message == "variables without effect"
    assert others.__dict__["names"] == "ASR_HOT_RELOAD, DEVELOPMENT_MODE"


PROGRAM = """
import sys
from pathlib import Path
from services.common.model_errors import ModelMissing
from services.common.process import ServiceProcess, run_service
from services.common.tests.echo_service import EchoService
missing = ModelMissing(Path("models/x"), "oavc models fetch x") if len(sys.argv) > 1 else None
sys.exit(run_service(lambda environ: ServiceProcess("echo", 0, (), lambda *_: EchoService(missing))))
"""


class _Running:
    """The program as a process of its own, and its log as it comes."""

    def __init__(self, *arguments: str) -> None:
        environ = {**os.environ, "ECHO_BIND_IP": "127.0.0.1", "LOG_FORMAT": "json", "DEVELOPMENT_MODE": "true"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=REPOSITORY,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self, message: str) -> dict[str, object]:
        while True:
            found: dict[str, object] = json.loads(self._lines.get(timeout=20))
            if found["message"] == message:
                return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self._lines.put(line)


@pytest.fixture
def run() -> Iterator[Callable[..., _Running]]:
    started: list[_Running] = []

    def start(*arguments: str) -> _Running:
        started.append(_Running(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_a_real_process_is_ready_and_ends_with_0_on_sigterm(run: Callable[..., _Running]) -> None:
    running = run()
    port = running.line("listening")["port"]
    running.line("ready")
    assert probe([f"-addr=127.0.0.1:{port}"]) == 0
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=20) == 0


def test_a_real_process_without_its_model_stays_up_and_the_probe_says_what_to_do(
    run: Callable[..., _Running], capsys: pytest.CaptureFixture[str]
) -> None:
    running = run("missing")
    port = running.line("listening")["port"]
    running.line("model not usable")
    assert probe([f"-addr=127.0.0.1:{port}", "-service=liveness"]) == 0
    assert probe([f"-addr=127.0.0.1:{port}", "-service=readiness"]) == 4
    said = capsys.readouterr().err
    assert "reason: model missing: models/x" in said
    assert "action: get it with: oavc models fetch x" in said
