"""The demo's call through real engines behind others' wires: Whisper as a Vosk server, llama.cpp as Ollama and as an
OpenAI-compatible server, Piper as a Piper server.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.contract.backend import free_port
from tests.support.standins import ollama, openai
from tools.caller.agent_account import Management
from tools.caller.batch import render_speeches
from tools.caller.caller import play_call
from tools.caller.line import Line
from tools.caller.report import report_call
from tools.caller.script import load_script
from tools.caller.transcriber import whisper_transcriber
from tools.oavc import layouts
from tools.oavc.child import Child, ReadyProbe
from tools.oavc.demo import SCRIPT
from tools.oavc.exchange import Exchange
from tools.oavc.stack import Layout, Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine, pytest.mark.timeout(180)]

# As config/app.ini, and a second agent whose model another server has.
# Turns end late: the recogniser behind the wire reads everything again for each guess, and lags on a busy machine.
CONFIG = """
[audio]
endpoint_ms = 900
silence_timeout_ms = 1500

[session]
welcome_message = Hello, this is Riverside Bikes. How can I help you?
system_prompt = You are the receptionist of a bicycle shop. Answer the caller's question in one short sentence.

[dialogue]
knowledge = config/knowledge.md

[agent.workshop]
match = workshop
llm.provider = openai
"""
SERVERS = ("VOSK", "PIPER", "OLLAMA", "OPENAI")
LOADED_WITHIN_S = 40.0
ACCOUNT_WITHIN_S = 5.0


@dataclass
class Lines:
    """A line of each transport to one core."""

    by_transport: dict[str, Line]
    management: Management


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lines]:
    folder = tmp_path_factory.mktemp("wires")
    config = folder / "app.ini"
    config.write_text(CONFIG, encoding="utf-8")
    async with Exchange(("opensips", "twilio")) as exchange:
        layout, ports = _layout(config, exchange)
        log = folder / "servers.log"
        servers = Child("servers", "tests.support.standins.real_engines", log, _all_listen(ports))
        await servers.start({**os.environ, **layout.environ})
        try:
            await servers.wait_ready(LOADED_WITHIN_S)
            async with Stack(layout, for_calls=True, log_folder=folder) as stack:
                await stack.ready()
                lines = await exchange.lines(layout.management_url)
                yield Lines({line.transport: line for line in lines}, Management(layout.management_url))
        finally:
            await servers.stop(5.0)


def _layout(config: Path, exchange: Exchange) -> tuple[Layout, dict[str, int]]:
    """Core and the llm service as always; nobody starts the other two services."""
    private = layouts.private(config, exchange.mi_port, exchange.account)
    ports = {name: free_port() for name in SERVERS}
    environ = {
        **private.environ,
        **{f"STAND_IN_{name}_PORT": str(port) for name, port in ports.items()},
        "ASR_PROVIDER": "vosk_ws",
        "VOSK_URL": f"ws://127.0.0.1:{ports['VOSK']}",
        "LLM_PROVIDER": "ollama",
        "OLLAMA_HOST": f"http://127.0.0.1:{ports['OLLAMA']}",
        "OLLAMA_MODEL": ollama.MODEL,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{ports['OPENAI']}/v1",
        "OPENAI_MODEL": openai.MODEL,
        "OPENAI_API_KEY": openai.KEY,
        "TTS_PROVIDER": "piper_ws",
        "PIPER_URL": f"ws://127.0.0.1:{ports['PIPER']}/tts",
    }
    services = dict.fromkeys(("asr", "tts"), ("unused.invalid", 1))
    return replace(private, services={**private.services, **services}, environ=environ), ports


def _all_listen(ports: dict[str, int]) -> ReadyProbe:
    async def probe() -> str:
        for name, port in ports.items():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            except OSError:
                return f"{name} does not listen"
        return ""

    return probe


@pytest.mark.parametrize(
    ("transport", "called", "providers"),
    [
        ("opensips", "reception", {"asr": "vosk_ws", "llm": "ollama", "tts": "piper_ws"}),
        ("twilio", "workshop", {"asr": "vosk_ws", "llm": "openai", "tts": "piper_ws"}),
    ],
)
async def test_questions_of_the_demo_are_answered_rightly(
    lines: Lines, transport: str, called: str, providers: dict[str, str]
) -> None:
    demo = load_script(SCRIPT)
    greeted, known, _, model, *_, hang_up = demo.step
    # The model may ask for a moment first, and take long on a busy machine.
    patient = model.model_copy(update={"quiet_ms": 6000})
    script = demo.model_copy(update={"called": called, "step": (greeted, known, patient, hang_up)})
    since = time.time() - 1
    record = await play_call(lines.by_transport[transport], script, render_speeches(script))
    account = None
    async with asyncio.timeout(ACCOUNT_WITHIN_S):
        while account is None or not account.ended:
            await asyncio.sleep(0.1)
            account = await lines.management.find(script.caller, since, transport)
    # Off the loop: OpenSIPS and Twilio go on answering.
    report = await asyncio.to_thread(report_call, record, account, whisper_transcriber())
    assert report.problems == [], [(turn.heard, turn.agent_said, turn.agent_heard_as) for turn in report.turns]
    assert report.transport == transport
    recent = f"{lines.management.url}/api/v1/calls/recent"
    async with aiohttp.ClientSession() as session, session.get(recent) as response:
        ended = [each for each in (await response.json())["calls"] if each["transport"] == transport]
    assert [each["providers"] for each in ended] == [providers]
