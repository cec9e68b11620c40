"""The service as its process sees it: registered, loaded, closed."""

import asyncio
from collections.abc import Sequence

import grpc

from services.common.lifecycle import Lifecycle
from services.tts.engine import Engine
from services.tts.phrase_cache import PhraseCache
from services.tts.servicer import TtsServicer
from services.tts.settings import SynthesisSettings
from services.tts.speaker import Speaker
from services.tts.turnstile import Turnstile
from voice_api import tts_pb2, tts_pb2_grpc


class TtsService:
    """Text to speech over one engine."""

    name = "tts-service"

    def __init__(self, settings: SynthesisSettings, engine: Engine, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._engine = engine
        self._turnstile = Turnstile(settings.renderers, engine.rest, settings.rest_after_s)
        cache = PhraseCache(settings.cache_size_max_bytes)
        speaker = Speaker(engine, self._turnstile, cache)
        self._servicer = TtsServicer(settings, engine, speaker, cache, lifecycle)

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        tts_pb2_grpc.add_TTSServiceServicer_to_server(self._servicer, server)
        return [tts_pb2.DESCRIPTOR.services_by_name["TTSService"].full_name]

    async def load(self) -> None:
        await asyncio.to_thread(self._engine.load, self._settings.voice)

    async def close(self) -> None:
        self._turnstile.cancel_rest()
        await asyncio.to_thread(self._turnstile.close)
        self._engine.close()
