"""`python -m core` beside a stand-in of OpenSIPS: starts, takes a call, drains, and says what is wrong."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.core.transports.opensips.rig import OFFER
from tools.caller.opensips import OpenSipsStandIn

ROOT = Path(__file__).parents[2]
START_S = 40.0
CONFIGURATION = "[opensips]\nwatch_interval_s = 0.1\n[performance]\ndrain_timeout_s = 20\nmemory_limit_mb = 4096\n"


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class CoreProcess:
    """One core, from its start to its exit code."""

    def __init__(self, process: asyncio.subprocess.Process, http_port: int) -> None:
        self.token = ""
        self._process = process
        self._http_port = http_port
        self.out, self.err = (
            asyncio.ensure_future(self._lines(process.stdout)),
            asyncio.ensure_future(self._lines(process.stderr)),
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http_port}{path}"

    async def get(self, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else None
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url(path)) as reply:
            return reply.status, await reply.json()

    async def ready(self) -> None:
        async with asyncio.timeout(START_S):
            while True:
                assert self._process.returncode is None, (await self.err)[-5:]
                with contextlib.suppress(aiohttp.ClientError):
                    status, _ = await self.get("/health/ready")
                    if status == 200:
                        return
                await asyncio.sleep(0.05)

    async def call_record(self, call_id: str) -> dict[str, Any]:
        """Of a call that is up or has ended."""
        status, record = await self.get(f"/api/v1/calls/{call_id}")
        assert status == 200
        assert isinstance(record, dict)
        return record

    def hang_up_signal(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    async def reloads(self, outcome: str, count: int) -> None:
        """Returns once the configuration was read again so often, with that outcome."""
        wanted = f'oavc_reloads_total{{outcome="{outcome}"}} {float(count)}'
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while True:
                async with session.get(self.url("/metrics")) as reply:
                    if wanted in await reply.text():
                        return
                await asyncio.sleep(0.02)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def exit_code(self, timeout_s: float = START_S) -> int:
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(self.out, self.err)
            return await self._process.wait()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(self.out, self.err)

    @staticmethod
    async def _lines(stream: asyncio.StreamReader | None) -> list[str]:
        assert stream is not None
        return [line.decode().rstrip("\n") async for line in stream]


def environment(**changes: str) -> dict[str, str]:
    """Scripted providers, nothing from outside, every port free."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
    return {
        **kept,
        "ASR_PROVIDER": "scripted",
        "LLM_PROVIDER": "scripted",
        "TTS_PROVIDER": "scripted",
        "LOG_FORMAT": "json",
        "MANAGEMENT_HOST": "127.0.0.1",
        "MANAGEMENT_PORT": str(free_port(socket.SOCK_STREAM)),
        "OPENSIPS_EVENT_IP": "127.0.0.1",
        "OPENSIPS_EVENT_PORT": "0",
        "MI_PORT": str(free_port(socket.SOCK_DGRAM)),
        "RTP_BIND_IP": "127.0.0.1",
        "RTP_MIN_PORT": "20000",
        "RTP_MAX_PORT": "59998",
    } | changes


@contextlib.asynccontextmanager
async def core(configuration: Path, **changes: str) -> AsyncIterator[CoreProcess]:
    env = environment(**changes)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "core",
        "--config",
        str(configuration),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = CoreProcess(process, int(env["MANAGEMENT_PORT"]))
    try:
        yield running
    finally:
        await running.end()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "app.ini"
    path.write_text(CONFIGURATION)
    return path


@pytest.fixture
async def opensips() -> AsyncIterator[OpenSipsStandIn]:
    opensips = OpenSipsStandIn()
    await opensips.start()
    yield opensips
    sessions = dict(opensips.sessions)
    await opensips.stop()
    assert (sessions, opensips.violations) == ({}, [])


async def test_takes_a_call_drains_and_ends_with_0(configuration: Path, opensips: OpenSipsStandIn) -> None:
    async with core(configuration, MI_PORT=str(opensips.mi_port)) as process:
        await opensips.wait_subscribed(START_S)
        await process.ready()
        assert (await process.get("/health"))[1]["status"] == "healthy"

        first = opensips.invite(OFFER)
        answer = await first.final()
        assert (answer.status, "m=audio" in answer.body) == (200, True)
        first.ack()
        assert (await process.get("/api/v1/status"))[1]["active_calls"] == 1
        assert (await first.bye()).status == 200
        await opensips.settled()

        second = opensips.invite(OFFER)
        assert (await second.final()).status == 200
        second.ack()
        process.terminate()
        async with asyncio.timeout(10):
            while (await process.get("/health/ready"))[0] == 200:
                await asyncio.sleep(0.02)
        assert (await opensips.invite(OFFER).final()).status == 503
        assert (await process.get("/health/live"))[0] == 200
        assert (await second.bye()).status == 200
        assert await process.exit_code() == 0

        lines = [json.loads(line) for line in await process.err]
        assert await process.out == []
    messages = [line["message"] for line in lines]
    assert messages[-1] == "stopped"
    summaries = [line for line in lines if line["message"] == "call ended"]
    assert [summary["reason"] for summary in summaries] == ["caller_hung_up"] * 2
    assert all(summary["call_id"] for summary in summaries)
    assert {line["service"] for line in lines} == {"core"}


async def test_calls_that_outlast_the_drain_are_ended(configuration: Path, opensips: OpenSipsStandIn) -> None:
    async with core(configuration, MI_PORT=str(opensips.mi_port), DRAIN_TIMEOUT_S="0.2") as process:
        await opensips.wait_subscribed(START_S)
        await process.ready()
        call = opensips.invite(OFFER)
        assert (await call.final()).status == 200
        call.ack()
        process.terminate()
        async with asyncio.timeout(10):
            await call.hung_up.wait()
        assert await process.exit_code() == 0
        lines = [json.loads(line) for line in await process.err]
    [summary] = [line for line in lines if line["message"] == "call ended"]
    assert summary["reason"] == "drained"


async def test_not_ready_without_opensips_says_so_and_stops_when_asked(configuration: Path) -> None:
    async with core(configuration) as process:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if (await process.get("/health/live"))[0] == 200:
                        break
                await asyncio.sleep(0.05)
        status, body = await process.get("/health/ready")
        assert (status, body["status"]) == (503, "not ready")
        assert "opensips is not connected" in body["reasons"]
        process.terminate()
        assert await process.exit_code() == 0


async def test_a_wrong_configuration_ends_with_2_and_names_everything(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text("[opensips]\nmi_prot = 1\n[audio]\nvad_threshold = loud\n[nonsense]\n")
    async with core(path, MAX_CONCURRENT_SESSIONS="none") as process:
        assert await process.exit_code() == 2
        told = await process.err
        assert await process.out == []
    assert len(told) == 4
    assert all(line.startswith("configuration: ") for line in told)
    for name in ("opensips.mi_prot", "audio.vad_threshold", "[nonsense]", "MAX_CONCURRENT_SESSIONS"):
        assert any(name in line for line in told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"LLM_PROVIDER": "brain", "TTS_PROVIDER": "mouth"},
            [
                "configuration: llm.provider: 'brain' is not known; known are grpc, ",
                "configuration: tts.provider: 'mouth' is not known; known are grpc, ",
            ],
        ),
        ({"KNOWLEDGE_FILE": "/nowhere/knowledge.md"}, ["configuration: dialogue.knowledge: /nowhere/knowledge.md: "]),
    ],
)
async def test_what_only_shows_when_core_is_built_ends_with_2_as_well(
    configuration: Path, changes: dict[str, str], told: list[str]
) -> None:
    async with core(configuration, **changes) as process:
        assert await process.exit_code() == 2
        lines = await process.err
    assert len(lines) == len(told)
    assert all(line.startswith(expected) for line, expected in zip(lines, told, strict=True))


@pytest.mark.parametrize(
    ("variable", "kind", "what"),
    [("MANAGEMENT_PORT", socket.SOCK_STREAM, "127.0.0.1"), ("OPENSIPS_EVENT_PORT", socket.SOCK_DGRAM, "opensips")],
)
async def test_a_port_that_is_taken_ends_with_1_and_a_line_that_says_so(
    configuration: Path, variable: str, kind: socket.SocketKind, what: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = str(taken.getsockname()[1])
        async with core(configuration, **{variable: port}) as process:
            assert await process.exit_code() == 1
            lines = [json.loads(line) for line in await process.err]
    [line] = [line for line in lines if line["level"] == "ERROR"]
    assert line["message"] == "cannot start"
    assert "address already in use" in line["reason"].lower()
    assert what in line["reason"]
