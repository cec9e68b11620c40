"""The whole service with its default engine: a call's speech, phantoms, and the process itself."""

import asyncio
import os
import signal
import sys

import grpc
import numpy as np
import pytest

from services.asr.__main__ import build
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.service import AsrService
from services.asr.tests import speech
from services.asr.tests.client import Client, texts
from services.asr.tests.conftest import Lent, Serve
from services.asr.voice_activity import SileroModel
from services.common.lifecycle import Lifecycle
from services.common.process import load_service_settings
from voice_api import asr_pb2_grpc

pytestmark = pytest.mark.engine

CALL = {"sample_rate": 8000, "interim_results": True, "client_endpointing": True}
START_TIMEOUT_S = 30.0


def line(*parts: speech.Samples) -> bytes:
    return speech.mu_law(np.concatenate(parts)).tobytes()


async def test_caller_is_understood_and_answered_at_once(
    whisper: FasterWhisper, silero: SileroModel, serve: Serve
) -> None:
    async with serve(Lent(whisper), voice_activity=silero) as client:  # type: ignore[arg-type]
        stream = await client.stream(**CALL)
        for number, text in enumerate(("Can I speak to a real person?", "Where are you located?"), 1):
            await stream.say(line(speech.spoken(text, 8000), speech.silence(0.3, 8000)), chunk_size=320)
            stable = await stream.stable()
            await stream.finalize(number)
            final = await stream.final()
            assert stable.result.text == final.result.text == text
            assert final.utterance_id == number


async def test_several_callers_at_once_are_understood(
    whisper: FasterWhisper, silero: SileroModel, serve: Serve
) -> None:
    said = ["Are you open on Christmas Day?", "Could you repeat that, please?", "Can I speak to a real person?"]
    async with serve(Lent(whisper), voice_activity=silero) as client:  # type: ignore[arg-type]

        async def call(text: str) -> list[str]:
            stream = await client.stream(**CALL)
            await stream.say(line(speech.spoken(text, 8000), speech.silence(0.3, 8000)), chunk_size=320)
            await stream.finalize()
            return texts(await stream.rest())

        assert await asyncio.gather(*map(call, said)) == [[text] for text in said]


@pytest.mark.parametrize("noise", ["hiss", "hum", "clicks", "babble"])
async def test_no_phantom_comes_of_noise(whisper: FasterWhisper, silero: SileroModel, serve: Serve, noise: str) -> None:
    async with serve(Lent(whisper), voice_activity=silero) as client:  # type: ignore[arg-type]
        stream = await client.stream(**CALL)
        await stream.say(line(noise_of(noise)), chunk_size=320)
        await stream.finalize()
        final = await stream.final()
        assert final.result.text == ""
        assert final.rejected_reason in {"noise", "phantom"}


def noise_of(kind: str) -> speech.Samples:
    random = np.random.default_rng(3)
    t = np.arange(3 * 8000) / 8000
    if kind == "hiss":
        out = 0.05 * random.standard_normal(len(t))
    elif kind == "hum":
        out = 0.2 * np.sin(2 * np.pi * 100 * t) + 0.1 * np.sin(2 * np.pi * 300 * t)
    elif kind == "clicks":
        out = 0.5 * random.standard_normal(len(t)) * (t % 0.4 < 0.01)
    else:
        voices = [speech.spoken(text, 8000) for text in ("Are you open on Christmas Day?", "Where are you located?")]
        # Backwards nothing of it is a word.
        out = np.sum([np.resize(voice, len(t))[::-1] for voice in voices], axis=0) / 131_072
    return (np.clip(out, -1, 1) * 32767).astype(np.int16)


async def test_service_of_the_default_settings_loads() -> None:
    loaded = load_service_settings(build({}), {})
    lifecycle = Lifecycle()
    service = build({}).create(loaded, lifecycle)
    assert isinstance(service, AsrService)
    await service.load()
    await service.close()


@pytest.mark.slow
async def test_process_serves_and_ends_when_asked() -> None:
    environ = os.environ | {"ASR_SERVICE_PORT": "0", "ASR_BIND_IP": "127.0.0.1", "LOG_FORMAT": "json"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.asr",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        port = 0
        async with asyncio.timeout(START_TIMEOUT_S):
            async for row in process.stdout:
                if b'"port"' in row:
                    port = int(row.split(b'"port": ')[1].split(b"}")[0].split(b",")[0])
                if b'"ready"' in row:
                    break
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = Client(asr_pb2_grpc.ASRServiceStub(channel), channel)
            response = await client.recognize(line(speech.spoken("Where are you located?", 8000)), sample_rate=8000)
            assert response.result.text == "Where are you located?"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
