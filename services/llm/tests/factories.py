"""What the tests are built of: settings, an engine that steps on command, a service behind a real server."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.lifecycle import Lifecycle
from services.common.testing import running_server
from services.llm.engine import Engine, Feed
from services.llm.engines.scripted import ScriptedEngine, repeat
from services.llm.service import LlmService
from services.llm.settings import LlmSettings
from voice_api import llm_pb2_grpc

if TYPE_CHECKING:
    from voice_api.llm_pb2_grpc import LLMServiceAsyncStub

MODELS_DIR = Path("models")


class SteppedEngine(ScriptedEngine):
    """Takes a step only when allowed to, so that a test decides what happens between two tokens."""

    def __init__(self, settings: LlmSettings, reply: Callable[[str], str] = repeat) -> None:
        super().__init__(settings, MODELS_DIR, reply)
        self.steps: list[list[Feed]] = []
        self._allowed = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)
        self.free = False

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        self._asked.release()
        if not self.free:
            assert self._allowed.acquire(timeout=10), "no test allowed this step"
        self.steps.append(list(feeds))
        return super().step(feeds)

    def wait_until_asked(self) -> None:
        """Until the scheduler has begun a step, which it then waits in. Each beginning is seen once."""
        assert self._asked.acquire(timeout=10), "no step was begun"

    def allow(self, steps: int = 1) -> None:
        self._allowed.release(steps)

    def run_freely(self) -> None:
        self.free = True
        self._allowed.release(1)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread or process does, and tells nobody."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def make_settings(**given: object) -> LlmSettings:
    return LlmSettings.model_validate(given)


@contextlib.asynccontextmanager
async def running(
    settings: LlmSettings | None = None, engine: Engine | None = None, lifecycle: Lifecycle | None = None
) -> "AsyncIterator[LLMServiceAsyncStub]":
    """A client of a service with the scripted engine, or the one given."""
    settings = settings or make_settings(engine="scripted")
    lifecycle = lifecycle or Lifecycle()
    service = LlmService(settings, lifecycle, MODELS_DIR, engine or ScriptedEngine(settings, MODELS_DIR))
    async with running_server(service, lifecycle=lifecycle) as channel:
        stub: LLMServiceAsyncStub = llm_pb2_grpc.LLMServiceStub(channel)
        yield stub
