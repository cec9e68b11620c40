"""A service over the tone engine, behind a real server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.common.lifecycle import Lifecycle
from services.common.testing import running_server
from services.tts.engine import EngineSettings
from services.tts.engines.piper import PiperEngine
from services.tts.service import TtsService
from services.tts.tests.factories import settings
from services.tts.tests.tone_engine import ToneEngine
from voice_api import tts_pb2_grpc

if TYPE_CHECKING:
    from voice_api.tts_pb2_grpc import TTSServiceAsyncStub


class KeptPiper(PiperEngine):
    """Stays loaded when a service closes it, for the next test."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def piper() -> Iterator[PiperEngine]:
    engine = KeptPiper(EngineSettings(models_dir=Path("models")))
    yield engine
    PiperEngine.close(engine)


@pytest.fixture
def engine() -> ToneEngine:
    return ToneEngine()


@pytest.fixture
async def stub(engine: ToneEngine) -> "AsyncIterator[TTSServiceAsyncStub]":
    lifecycle = Lifecycle()
    service = TtsService(settings(), engine, lifecycle)
    async with running_server(service, lifecycle=lifecycle) as channel:
        engine.forget()
        yield tts_pb2_grpc.TTSServiceStub(channel)
    assert engine.closed
