"""The process of the llm service."""

import sys
from collections.abc import Mapping

from services.common.lifecycle import Lifecycle
from services.common.model_files import ModelSettings
from services.common.process import ServiceProcess, run_service
from services.common.settings import Loaded
from services.llm.service import LlmService
from services.llm.settings import LlmSettings

PORT = 50052


def build(_environ: Mapping[str, str]) -> ServiceProcess:
    return ServiceProcess(name="llm", port=PORT, sections=(LlmSettings, ModelSettings), create=_create)


def _create(loaded: Loaded, lifecycle: Lifecycle) -> LlmService:
    return LlmService(loaded[LlmSettings], lifecycle, loaded[ModelSettings].directory)


if __name__ == "__main__":
    sys.exit(run_service(build))
