"""The service as its process sees it: registered, loaded, closed."""

import asyncio
from collections.abc import Sequence

import grpc

from services.common.lifecycle import Lifecycle
from services.tts.engine import Engine
from services.tts.loudness import fit
from services.tts.pcm import SAMPLE_RATES_HZ, to_pcm
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
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        self._turnstile.cancel_rest()
        await asyncio.to_thread(self._turnstile.close)
        self._engine.close()

    def _load(self) -> None:
        self._engine.load(self._settings.voice)
        # The whole way once, so that the first caller does not wait for a library's first use.
        voice = self._engine.voice(self._settings.voice)
        waveform = self._engine.render("Hello.", voice.name, self._settings.speaking_rate)
        for rate_hz in SAMPLE_RATES_HZ:
            to_pcm(fit(waveform, voice.sample_rate_hz), voice.sample_rate_hz, rate_hz)
