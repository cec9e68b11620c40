"""Servers of others with real engines behind their wires: Whisper as Vosk, Piper, the llm service's model.

The ports are in STAND_IN_VOSK_PORT, STAND_IN_PIPER_PORT, STAND_IN_OLLAMA_PORT and STAND_IN_OPENAI_PORT; the model is
asked of the llm service at LLM_SERVICE_HOST and LLM_SERVICE_PORT.
"""

import asyncio
import contextlib
import os
import signal

from core.providers.base import GenerationParameters
from core.providers.llm.grpc import GrpcGenerator
from core.providers.settings import LlmSettings
from tests.support.standins.ollama import OllamaServer
from tests.support.standins.openai import OpenAiServer
from tests.support.standins.piper_server import piper, real
from tests.support.standins.script import Script, asking
from tests.support.standins.vosk_server import VoskServer, transcribing, whisper

# The small model does best when it always takes the likeliest word.
LIKELIEST = GenerationParameters(temperature=0.0)


async def serve() -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with contextlib.AsyncExitStack() as stack:
        service = LlmSettings(host=os.environ["LLM_SERVICE_HOST"], port=int(os.environ["LLM_SERVICE_PORT"]))
        generator = GrpcGenerator(service)
        stack.push_async_callback(generator.close)
        # As a server has its voice loaded when it listens.
        async for _ in piper("Hello.", 0):
            pass
        for server in (
            VoskServer(transcribing(whisper()), _port("VOSK")),
            real(_port("PIPER")),
            OllamaServer(Script(answer=asking(generator, LIKELIEST)), _port("OLLAMA")),
            OpenAiServer(Script(answer=asking(generator, LIKELIEST)), _port("OPENAI")),
        ):
            await stack.enter_async_context(server)
        await over.wait()


def _port(name: str) -> int:
    return int(os.environ[f"STAND_IN_{name}_PORT"])


if __name__ == "__main__":
    asyncio.run(serve())
