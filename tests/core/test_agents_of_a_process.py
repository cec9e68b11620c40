"""`python -m core` with agents: who answers, by which providers, and what SIGHUP changes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_process import CONFIGURATION, START_S, CoreProcess, configuration, core, opensips
from tests.core.transports.opensips.rig import OFFER
from tests.support.standins.llama_ws import LlamaWsServer
from tests.support.standins.piper_server import PiperServer
from tests.support.standins.vosk_server import VoskServer, scripted
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.sip_call import SipCall

__all__ = ["configuration", "opensips"]


@contextlib.asynccontextmanager
async def serving(path: Path, opensips: OpenSipsStandIn, **changes: str) -> AsyncIterator[CoreProcess]:
    async with core(path, MI_PORT=str(opensips.mi_port), **changes) as process:
        await opensips.wait_subscribed(START_S)
        await process.ready()
        yield process


def write(path: Path, text: str) -> None:
    """The file of the fixture, and more."""
    path.write_text(CONFIGURATION + text)


async def connected(opensips: OpenSipsStandIn, called: str) -> SipCall:
    call = opensips.invite(OFFER, called=called)
    assert (await call.final()).status == 200
    call.ack()
    return call


async def record_of(process: CoreProcess) -> dict[str, Any]:
    """Of the call that came last: the one before it may still be on its way out."""
    up = (await process.get("/api/v1/calls"))[1]["calls"]
    return await process.call_record(up[-1]["call_id"])


async def answered(process: CoreProcess, opensips: OpenSipsStandIn, called: str = "100") -> dict[str, Any]:
    """A call from its beginning to its end; its record."""
    call = await connected(opensips, called)
    record = await record_of(process)
    assert (await call.bye()).status == 200
    await opensips.settled()
    return record


async def ended(process: CoreProcess) -> list[dict[str, Any]]:
    """Lets the process end; its log."""
    process.terminate()
    assert await process.exit_code() == 0
    return [json.loads(line) for line in await process.err]


async def test_variables_alone_change_the_providers_of_the_next_call(
    configuration: Path, opensips: OpenSipsStandIn
) -> None:
    async with serving(configuration, opensips) as process:
        record = await answered(process, opensips)
        assert (record["agent"], record["providers"]) == ("default", dict.fromkeys(("asr", "llm", "tts"), "scripted"))
        await ended(process)
    async with VoskServer(scripted()) as vosk, LlamaWsServer() as llama, PiperServer() as piper:
        servers = {"VOSK_URL": vosk.url, "LLAMA_URL": llama.url, "PIPER_URL": piper.url}
        names = {"ASR_PROVIDER": "vosk_ws", "LLM_PROVIDER": "llama_ws", "TTS_PROVIDER": "piper_ws"}
        async with serving(configuration, opensips, **servers, **names) as process:
            record = await answered(process, opensips)
            assert record["providers"] == {"asr": "vosk_ws", "llm": "llama_ws", "tts": "piper_ws"}
            await ended(process)
        # Of several the first that is there: nothing listens where the gRPC services would be.
        names = {
            "ASR_PROVIDER": "grpc, vosk_ws",
            "LLM_PROVIDER": "scripted, llama_ws",
            "TTS_PROVIDER": "piper_ws, grpc",
        }
        async with serving(configuration, opensips, **servers, **names, ASR_SERVICE_PORT="9") as process:
            record = await answered(process, opensips)
            assert record["providers"] == {"asr": "vosk_ws", "llm": "scripted", "tts": "piper_ws"}
            await ended(process)


async def test_the_dialled_number_chooses_the_agent(configuration: Path, opensips: OpenSipsStandIn) -> None:
    write(
        configuration,
        "[agent.sales]\nmatch = ^sales$\nsession.welcome_message = Sales.\n"
        "[openai]\nmatch = ^7\nkey = hush\n[agent.off]\ndisabled = true\nmatch = .*\n",
    )
    async with serving(configuration, opensips) as process:
        names = [(await answered(process, opensips, called))["agent"] for called in ("sales", "700", "100")]
        lines = await ended(process)
    assert names == ["sales", "openai", "default"]
    # The next call comes while the one before it is still ending.
    assert sorted(line["agent"] for line in lines if line["message"] == "call ended") == sorted(names)
    [warning] = [line for line in lines if "of this section" in line["message"]]
    assert (warning["section"], warning["ignored"]) == ("openai", "key")
    assert "hush" not in json.dumps(lines)


async def test_a_changed_file_answers_the_next_call_while_the_one_that_is_up_goes_on(
    configuration: Path, opensips: OpenSipsStandIn
) -> None:
    async with serving(configuration, opensips) as process:
        first = await connected(opensips, "100")
        write(configuration, "[agent.sales]\nmatch = ^100$\n[outbound]\nmax_concurrent = 7\n")
        process.hang_up_signal()
        await process.reloads("reloaded", 1)
        assert (await record_of(process))["agent"] == "default"
        assert (await first.bye()).status == 200
        await opensips.settled()
        assert (await answered(process, opensips))["agent"] == "sales"

        write(configuration, "[agent.sales]\nmatch = (\nsession.welcome = x\n")
        process.hang_up_signal()
        await process.reloads("refused", 1)
        assert (await answered(process, opensips))["agent"] == "sales"

        write(configuration, "")
        process.hang_up_signal()
        process.hang_up_signal()
        await process.reloads("reloaded", 2)
        assert (await answered(process, opensips))["agent"] == "default"
        lines = await ended(process)
    refused = [line for line in lines if line["message"] == "configuration not reloaded" and line["level"] == "ERROR"]
    assert sorted(line["problem"].split(": ")[1] for line in refused) == ["match", "session.welcome"]
    [restart] = [line for line in lines if line["message"] == "settings wait for a restart"]
    assert restart["keys"] == "outbound.max_concurrent"


async def test_a_file_that_cannot_be_read_changes_nothing_for_calls_that_are_up_or_come(
    configuration: Path, opensips: OpenSipsStandIn
) -> None:
    write(configuration, "[agent.sales]\nmatch = ^sales$\n")
    async with serving(configuration, opensips) as process:
        call = await connected(opensips, "sales")
        await asyncio.to_thread(configuration.unlink)
        process.hang_up_signal()
        await process.reloads("refused", 1)
        await asyncio.to_thread(configuration.mkdir)
        process.hang_up_signal()
        await process.reloads("refused", 2)
        await asyncio.to_thread(configuration.rmdir)
        write(configuration, "[agent.sales]\nmatch = ^sales$\nsession.welcome_mess")
        process.hang_up_signal()
        await process.reloads("refused", 3)
        assert (await process.get("/api/v1/status"))[1]["active_calls"] == 1
        assert (await call.bye()).status == 200
        await opensips.settled()
        assert (await answered(process, opensips, "sales"))["agent"] == "sales"
        lines = await ended(process)
    refused = [line["problem"] for line in lines if line["message"] == "configuration not reloaded"]
    assert refused == [
        f"{configuration}: cannot be read: No such file or directory",
        f"{configuration}: cannot be read: Is a directory",
        f"{configuration}:8: expected `key = value`",
    ]


@pytest.mark.parametrize("signals", [1, 3])
async def test_a_signal_while_draining_changes_nothing(
    configuration: Path, opensips: OpenSipsStandIn, signals: int
) -> None:
    async with serving(configuration, opensips) as process:
        call = await connected(opensips, "100")
        process.terminate()
        async with asyncio.timeout(START_S):
            while (await process.get("/health/ready"))[0] == 200:
                await asyncio.sleep(0.02)
        for _ in range(signals):
            process.hang_up_signal()
        assert (await process.get("/health/live"))[0] == 200
        assert (await call.bye()).status == 200
        assert await process.exit_code() == 0
        lines = [json.loads(line) for line in await process.err]
    [reason] = {line["problem"] for line in lines if line["message"] == "configuration not reloaded"}
    assert reason == "shutting down"


async def test_a_signal_before_the_process_is_up_does_not_end_it(
    configuration: Path, opensips: OpenSipsStandIn
) -> None:
    async with core(configuration, MI_PORT=str(opensips.mi_port)) as process:
        # Its first sign of life: the sockets are open only after everything was imported.
        await opensips.wait_subscribed(START_S)
        process.hang_up_signal()
        await process.ready()
        await process.reloads("reloaded", 1)
        await ended(process)
