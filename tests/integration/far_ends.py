"""What stands at the other end of each provider's wire, and how the environment alone leads core to it."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.contract.backend import Backend
from tests.support.standins import ollama, openai
from tests.support.standins.http_server import HttpStandIn
from tests.support.standins.llama_ws import LlamaWsServer
from tests.support.standins.ollama import OllamaServer
from tests.support.standins.openai import OpenAiServer
from tests.support.standins.piper_server import VOICE_RATE_HZ, PiperServer
from tests.support.standins.script import Script
from tests.support.standins.voice_services import AsrService, HummingVoice, LlmService, TtsService
from tests.support.standins.vosk_server import VoskServer, scripted

LINE = "What is the meaning of life?"
# Vosk writes neither capitals nor punctuation.
LINES = {"grpc": LINE, "vosk_ws": LINE.lower().rstrip("?")}
ASR, LLM, TTS = ("grpc", "vosk_ws"), ("grpc", "ollama", "openai", "llama_ws"), ("grpc", "piper_ws")


@dataclass(frozen=True)
class Chosen:
    """One provider for each stage, by its name."""

    asr: str
    llm: str
    tts: str

    def by_stage(self) -> dict[str, str]:
        return {"asr": self.asr, "llm": self.llm, "tts": self.tts}


@dataclass
class FarEnds:
    """The servers of one choice of providers, all in this process.

    Attributes:
        environ: all that core has to be told.
        script: the language model's.
        voice: the speech server's.
    """

    environ: Mapping[str, str]
    script: Script
    voice: HummingVoice
    _asr: AsrService | VoskServer
    _model_server: HttpStandIn | None = None

    @property
    def kept_connections(self) -> int:
        """Those to the language model's server: an HTTP client keeps them for its next request."""
        return 0 if self._model_server is None else self._model_server.connections_open

    def running(self) -> dict[str, int]:
        """Stage -> how much of its work is under way; a recogniser's is a stream."""
        return {"asr": self._asr.running, "llm": self.script.running, "tts": self.voice.running}


@asynccontextmanager
async def far_ends(chosen: Chosen) -> AsyncIterator[FarEnds]:
    script, voice = Script(), HummingVoice()
    environ = {f"{stage.upper()}_PROVIDER": name for stage, name in chosen.by_stage().items()}
    async with contextlib.AsyncExitStack() as stack:

        async def service(stage: str, served: AsrService | LlmService | TtsService) -> dict[str, str]:
            backend = Backend(served.register)
            await backend.start()
            stack.push_async_callback(backend.die)
            return {f"{stage}_SERVICE_HOST": "127.0.0.1", f"{stage}_SERVICE_PORT": str(backend.port)}

        asr: AsrService | VoskServer
        if chosen.asr == "grpc":
            # Core does not use the other RPCs.
            asr = AsrService([LINES["grpc"]])  # type: ignore[abstract]
            environ |= await service("ASR", asr)
        else:
            asr = await stack.enter_async_context(VoskServer(scripted([LINES["vosk_ws"]])))
            environ["VOSK_URL"] = asr.url
        server: HttpStandIn | None = None
        if chosen.llm == "grpc":
            environ |= await service("LLM", LlmService(script))  # type: ignore[abstract]
        else:
            server = await stack.enter_async_context(_model_server(chosen.llm, script))
            environ |= _led_to(chosen.llm, server.url)
        if chosen.tts == "grpc":
            environ |= await service("TTS", TtsService(voice))  # type: ignore[abstract]
        else:
            piper = await stack.enter_async_context(PiperServer(voice.speak, rate_hz=VOICE_RATE_HZ))
            environ["PIPER_URL"] = piper.url
        yield FarEnds(environ, script, voice, asr, server)


def _model_server(name: str, script: Script) -> HttpStandIn:
    servers: dict[str, type[HttpStandIn]] = {"ollama": OllamaServer, "openai": OpenAiServer, "llama_ws": LlamaWsServer}
    return servers[name](script)


def _led_to(name: str, url: str) -> dict[str, str]:
    return {
        "ollama": {"OLLAMA_HOST": url, "OLLAMA_MODEL": ollama.MODEL},
        "openai": {"OPENAI_BASE_URL": url, "OPENAI_MODEL": openai.MODEL, "OPENAI_API_KEY": openai.KEY},
        "llama_ws": {"LLAMA_URL": url},
    }[name]
