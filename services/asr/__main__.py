"""Runs the speech-to-text service: `python -m services.asr`."""

import sys
from collections.abc import Mapping

from services.asr.engines.registry import create_engine
from services.asr.service import AsrService
from services.asr.settings import AsrSettings
from services.asr.voice_activity import SileroModel
from services.common.lifecycle import Lifecycle
from services.common.metrics import REGISTRY
from services.common.model_files import ModelSettings
from services.common.process import ServiceProcess, run_service
from services.common.settings import Loaded

PORT = 50051


def create(loaded: Loaded, lifecycle: Lifecycle) -> AsrService:
    settings = loaded[AsrSettings]
    engine = create_engine(settings, loaded[ModelSettings].directory)
    return AsrService(engine, SileroModel(), settings, lifecycle, REGISTRY)


def build(_environ: Mapping[str, str]) -> ServiceProcess:
    return ServiceProcess("asr", PORT, (AsrSettings, ModelSettings), create)


if __name__ == "__main__":
    sys.exit(run_service(build))
