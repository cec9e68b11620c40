"""The process of the TTS service."""

import sys
from collections.abc import Mapping

from services.common.lifecycle import Lifecycle
from services.common.model_files import ModelSettings
from services.common.process import ServiceProcess, run_service
from services.common.settings import Loaded
from services.tts.engine import EngineSettings, make_engine
from services.tts.service import TtsService
from services.tts.settings import SynthesisSettings


def build(_environ: Mapping[str, str]) -> ServiceProcess:
    return ServiceProcess("tts", 50053, (SynthesisSettings, ModelSettings), create)


def create(loaded: Loaded, lifecycle: Lifecycle) -> TtsService:
    settings = loaded[SynthesisSettings]
    engine = make_engine(
        settings.engine,
        EngineSettings(
            models_dir=loaded[ModelSettings].directory,
            threads=settings.threads,
            loaded_voices_max=settings.loaded_voices_max,
        ),
    )
    return TtsService(settings, engine, lifecycle)


def main() -> int:
    return run_service(build)


if __name__ == "__main__":
    sys.exit(main())
