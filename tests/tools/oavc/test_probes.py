"""Readiness, asked of real servers; `oavc status` on top of it."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from aiohttp.test_utils import unused_port

from services.common.model_errors import ModelMissing
from services.common.testing import serving as serving_service
from tests.tools.oavc.fake_core import FakeCore, serving
from tools.oavc.__main__ import main
from tools.oavc.probes import core_ready, grpc_ready


class Service:
    """Serves nothing but its health."""

    name = "fake-service"

    def __init__(self, model: Path | None) -> None:
        self._model = model

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        return ()

    async def load(self) -> None:
        if self._model is None:
            raise ModelMissing(Path("models/none"), "oavc models fetch none")

    async def close(self) -> None:
        pass


async def test_service_with_its_model_is_ready() -> None:
    async with serving_service(Service(Path("model"))) as server:
        assert await grpc_ready("127.0.0.1", server.port)() == ""


async def test_service_without_its_model_says_why_and_what_helps() -> None:
    async with serving_service(Service(None)) as server:
        reason = await grpc_ready("127.0.0.1", server.port)()
    assert "models/none" in reason
    assert "oavc models fetch none" in reason


async def test_server_that_knows_no_health_is_told() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert "Method not found" in await grpc_ready("127.0.0.1", port)()
    finally:
        await server.stop(None)


async def test_port_without_a_server_is_told() -> None:
    port = unused_port()
    assert await grpc_ready("127.0.0.1", port)() == f"nothing listens on 127.0.0.1:{port}"


async def test_core_that_waits_for_opensips_is_there_but_takes_no_calls() -> None:
    core = FakeCore()
    core.reasons = ["opensips is not connected"]
    async with serving(core) as url:
        assert await core_ready(url, for_calls=True)() == "opensips is not connected"
        assert await core_ready(url, for_calls=False)() == ""
        core.reasons = []
        assert await core_ready(url, for_calls=True)() == ""


def test_status_names_each_process_and_fails_while_one_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ASR_SERVICE_PORT", "LLM_SERVICE_PORT", "TTS_SERVICE_PORT", "MANAGEMENT_PORT"):
        monkeypatch.setenv(name, str(unused_port()))
    assert main(["status"]) == 1
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == ["core", "asr", "llm", "tts"]
    assert shown.count("nothing listens") == 4


def test_status_of_a_wrong_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", "/nowhere/app.ini"]) == 2
    assert "cannot be read" in capsys.readouterr().err
