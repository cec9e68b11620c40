"""Each provider of each stage, with each transport: chosen by the environment alone, heard, and interrupted."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.conversation import Conversation, until
from tests.integration.core_process import EVENT_PORT, GREETING, MI_PORT, CoreProcess
from tests.integration.far_ends import ASR, LINES, LLM, TTS, Chosen, FarEnds, far_ends
from tests.integration.line import Line, open_line, settled_down
from tests.integration.twilio_exchange import Exchange, open_exchange
from tests.support.standins.script import WireMessages
from tools.caller.agent_account import Management
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.trace import PTIME_MS
from tools.caller.wire import Wire

pytestmark = [pytest.mark.slow]

TRANSPORTS = ("opensips", "twilio")
FIRST, REST = "It is a long story,", "and nobody knows its end."
ANSWER = f"{FIRST} {REST}"
# The scripted voice's.
CHARACTER_MS = 60.0
STOPPED_WITHIN_S = 10.0
# One for requests, one for asking whether the server is there.
MAX_KEPT = 2

# Eight of the 32: any two of transport, asr, llm and tts meet in all ways (an orthogonal array of strength 2).
COMBINATIONS = [
    (TRANSPORTS[other ^ (number >> 1)], Chosen(ASR[other], llm, TTS[other ^ (number & 1)]))
    for (number, llm), other in itertools.product(enumerate(LLM), (0, 1))
]


def test_any_two_of_transport_and_providers_meet() -> None:
    rows = [(transport, *chosen.by_stage().values()) for transport, chosen in COMBINATIONS]
    for one, other in itertools.combinations(range(4), 2):
        choices = [sorted({row[column] for row in rows}) for column in (one, other)]
        assert {(row[one], row[other]) for row in rows} == set(itertools.product(*choices))
    assert {frozenset(column) for column in zip(*rows, strict=True)} == {*map(frozenset, (TRANSPORTS, ASR, LLM, TTS))}


@pytest.mark.parametrize(
    ("transport", "chosen"),
    COMBINATIONS,
    ids=["-".join((way, *each.by_stage().values())) for way, each in COMBINATIONS],
)
async def test_a_call_is_held_by_what_the_environment_names(tmp_path: Path, transport: str, chosen: Chosen) -> None:
    async with far_ends(chosen) as ends, _opened(transport, tmp_path, ends) as line:
        may_go_on = asyncio.Event()

        async def answer(_messages: WireMessages) -> AsyncGenerator[str, None]:
            yield FIRST
            yield " and "
            await may_go_on.wait()
            yield REST.removeprefix("and ")

        ends.script.answer = answer
        may_go_on.set()
        assert (await line.core.get("/api/v1/status"))["services"] == dict.fromkeys(("asr", "llm", "tts"), "connected")

        async with line.call() as call:
            await call.hears_something()
            await _hears_the_whole_answer(call, ends, chosen)
            (up,) = await line.core.calls()
            assert (up["providers"], up["transport"]) == (chosen.by_stage(), transport)
        before, kept_before = await settled_down(line.core), ends.kept_connections

        may_go_on.clear()
        ends.voice.holds = FIRST
        ends.voice.may_go_on.clear()
        async with line.call() as call:
            await call.hears_something()
            asked_ns = await call.say()
            await call.hears(asked_ns)
            assert (ends.script.running, ends.voice.running) == (1, 1)
            # A reply that was prepared for fewer words has been given up before.
            model_left, voice_left = ends.script.cancelled, ends.voice.cancelled
            talking = asyncio.create_task(call.say())
            await until(
                lambda: ends.script.cancelled > model_left and ends.voice.cancelled > voice_left,
                STOPPED_WITHIN_S,
                "the work is stopped",
            )
            may_go_on.set()
            ends.voice.may_go_on.set()
            await call.hears_something(since_ns=await talking)
            cut_short, *_, whole = await call.answers()
            assert cut_short.interrupted
            assert FIRST.startswith(cut_short.spoken)
            assert (whole.said, whole.interrupted) == (ANSWER, False)
        await until(lambda: not any(ends.running().values()), STOPPED_WITHIN_S, "the far ends have nothing to do")
        kept = ends.kept_connections
        assert kept <= MAX_KEPT
        await line.nothing_left(replace(before, fds=before.fds + kept - kept_before))
        assert line.core.errors() == []


async def _hears_the_whole_answer(call: Conversation, ends: FarEnds, chosen: Chosen) -> None:
    asked_ns = await call.say()
    await call.hears_something(since_ns=asked_ns)
    (turn,) = await call.answers()
    assert (turn.heard, turn.source) == (LINES[chosen.asr], "model")
    assert ends.script.requests[-1].get("messages", [{}])[-1].get("content", "").endswith(LINES[chosen.asr])
    assert (turn.said, turn.spoken) == (ANSWER, ANSWER)
    assert list(dict.fromkeys(text for text in ends.voice.said if text in ANSWER)) == [FIRST, REST]
    heard_ms = sum(packet.audible and packet.at_ns > asked_ns for packet in call.trace.received_audio) * PTIME_MS
    assert heard_ms == pytest.approx(len(FIRST + REST) * CHARACTER_MS, abs=6 * PTIME_MS)


def _opened(transport: str, folder: Path, ends: FarEnds) -> AbstractAsyncContextManager[Line | Exchange]:
    if transport == "twilio":
        return open_exchange(folder, environ=ends.environ)
    return open_line(folder, environ=ends.environ)


async def test_an_existing_file_starts_unchanged_and_the_environment_changes_who_serves_the_next_call(
    tmp_path: Path,
) -> None:
    """The file is one of a deployment that knows of one provider a stage, and of no others."""
    core = CoreProcess(tmp_path)
    where = {"MI_IP": core.address, "MI_PORT": str(MI_PORT), "RTP_IP": core.address}
    where |= {"MANAGEMENT_HOST": core.address, "MANAGEMENT_PORT": core.url.rpartition(":")[2]}
    old, new = Chosen("grpc", "grpc", "grpc"), Chosen("vosk_ws", "ollama", "piper_ws")
    async with far_ends(old) as services, far_ends(new) as others:
        core.config.write_text(_deployed(core.address, services.environ), encoding="utf-8")
        opensips = OpenSipsStandIn(host=core.address, mi_port=MI_PORT)
        await opensips.start()
        try:
            with Wire() as wire:
                line = Line(opensips, core, wire, Management(core.url))
                for environ, chosen in (({}, old), (others.environ, new)):
                    core.environ = {**where, **environ}
                    await core.start()
                    await opensips.wait_subscribed(10.0)
                    async with line.call() as call:
                        await call.hears_something()
                        assert (await call.ask()).heard == LINES[chosen.asr]
                        (up,) = await core.calls()
                        assert up["providers"] == chosen.by_stage()
                    await opensips.settled()
                    assert core.errors() == []
                    await core.stop()
        finally:
            await core.stop()
            await opensips.stop()
        assert GREETING in services.voice.said
        assert GREETING in others.voice.said
        assert all(each.script.requests for each in (services, others))


def _deployed(address: str, services: Mapping[str, str]) -> str:
    """Only what such files hold, with their defaults but for addresses."""
    stages = "".join(
        f"[{stage}]\nhost = 127.0.0.1\nport = {services[f'{stage.upper()}_SERVICE_PORT']}\n"
        "timeout = 30.0\nmax_retries = 3\n"
        for stage in ("asr", "llm", "tts")
    )
    return f"""[opensips]
event_ip = {address}
event_port = {EVENT_PORT}
sip_ip = 0.0.0.0
sip_port = 8089
rtp_bind_ip = {address}
rtp_min_port = 35000
rtp_max_port = 35100

{stages}
[audio]
sample_rate = 16000
channels = 1
chunk_size_ms = 20
silence_timeout_ms = 1000
vad_threshold = 0.5

[logging]
level = INFO

[session]
system_prompt = You are the receptionist of a bicycle shop.
max_conversation_length = 10
welcome_message = {GREETING}

[performance]
max_concurrent_sessions = 10
session_timeout_minutes = 30
memory_limit_mb = 512
"""
