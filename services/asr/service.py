"""The speech-to-text service: its engine, what all streams share, and their life."""

import asyncio
import ctypes
import logging
from collections.abc import Sequence

import grpc
from prometheus_client import CollectorRegistry

from services.asr.engine import Engine
from services.asr.scheduler import Scheduler
from services.asr.servicer import AsrServicer
from services.asr.session import Hearing
from services.asr.settings import AsrSettings
from services.asr.statistics import Statistics
from services.asr.voice_activity import VoiceActivityModel
from services.common.lifecycle import Lifecycle
from voice_api import asr_pb2, asr_pb2_grpc

log = logging.getLogger(__name__)


class AsrService:
    """Built with an engine that is not loaded yet."""

    name = "asr-service"

    def __init__(
        self,
        engine: Engine,
        voice_activity: VoiceActivityModel,
        settings: AsrSettings,
        lifecycle: Lifecycle,
        registry: CollectorRegistry,
    ) -> None:
        self._engine = engine
        self._voice_activity = voice_activity
        self._scheduler = Scheduler(engine.passes)
        hearing = Hearing(engine, self._scheduler, Statistics(registry), settings, voice_activity)
        self._servicer = AsrServicer(hearing, lifecycle)

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        asr_pb2_grpc.add_ASRServiceServicer_to_server(self._servicer, server)
        return (asr_pb2.DESCRIPTOR.services_by_name["ASRService"].full_name,)

    async def load(self) -> None:
        await asyncio.to_thread(self._load)
        log.info("engine loaded", extra={"engine": self._engine.name, "model": str(self._engine.model)})

    async def close(self) -> None:
        await self._scheduler.close()
        self._engine.close()

    def _load(self) -> None:
        self._voice_activity.load()
        self._engine.load()
        give_back_memory()


def give_back_memory() -> None:
    """Returns to the system what loading took and freed again, where the C library can (glibc's malloc_trim)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
