"""The speech-to-text service: its engine, what all streams share, and their life."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from services.asr.engine import Engine
from services.asr.scheduler import Scheduler
from services.asr.servicer import AsrServicer
from services.asr.session import Hearing
from services.asr.settings import AsrSettings
from services.asr.statistics import Statistics
from services.asr.voice_activity import SileroModel, VoiceActivity, silero_path
from services.common.lifecycle import Lifecycle
from services.common.model_files import ModelMissing
from voice_api import asr_pb2, asr_pb2_grpc

log = logging.getLogger(__name__)


class AsrService:
    """Built with an engine that is not loaded yet."""

    name = "asr-service"

    def __init__(
        self, engine: Engine, settings: AsrSettings, lifecycle: Lifecycle, registry: CollectorRegistry
    ) -> None:
        self._engine = engine
        self._silero: SileroModel | None = None
        self._scheduler = Scheduler(engine.passes)
        hearing = Hearing(engine, self._scheduler, Statistics(registry), settings, self._voice_activity)
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
        if self._silero is None:
            try:
                self._silero = SileroModel(silero_path())
            except FileNotFoundError as error:
                raise ModelMissing(Path("faster_whisper/assets/silero_vad_v6.onnx"), "uv sync --extra asr") from error
        self._engine.load()

    def _voice_activity(self) -> VoiceActivity:
        assert self._silero is not None, "streams begin after load"
        return self._silero.stream()
