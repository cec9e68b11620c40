"""The llm service: one engine, its thread, its sessions, behind one servicer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc

from services.common.lifecycle import Lifecycle
from services.common.model_files import MODELS_DIR_DEFAULT, ModelBroken
from services.common.settings import ConfigurationError
from services.llm.conversation import assemble
from services.llm.engine import Engine, EngineFailed, PromptRefused
from services.llm.engines import make_engine
from services.llm.generation import Job
from services.llm.model_thread import ModelThread
from services.llm.servicer import LlmServicer
from services.llm.sessions import Sessions
from services.llm.settings import LlmSettings
from voice_api import llm_pb2, llm_pb2_grpc


class LlmService:
    """What `services.common.process` runs."""

    name = "llm-service"

    def __init__(
        self,
        settings: LlmSettings,
        lifecycle: Lifecycle,
        models_dir: Path = MODELS_DIR_DEFAULT,
        engine: Engine | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine or make_engine(settings, models_dir)
        self._thread: ModelThread | None = None
        self.servicer = LlmServicer(
            settings, self._engine, Sessions(settings.contexts_max, settings.context_ttl_s), lifecycle
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        llm_pb2_grpc.add_LLMServiceServicer_to_server(self.servicer, server)
        return (llm_pb2.DESCRIPTOR.services_by_name["LLMService"].full_name,)

    async def load(self) -> None:
        await asyncio.to_thread(self._engine.load)
        thread = self._thread = ModelThread(self._engine, self._settings.parallel, self._settings.waiting_max)
        thread.start()
        try:
            await self._warm(thread)
        except EngineFailed as error:
            model = Path(self._engine.info.model)
            await self.close()
            raise ModelBroken(model, f"it cannot evaluate a prompt: {error}") from error
        self.servicer.thread = thread

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        # What a thread still computes on must not be freed; the process is ending anyway.
        if thread is None or await thread.stop():
            self._engine.close()

    async def _warm(self, thread: ModelThread) -> None:
        """Evaluates the settings' system prompt for good; without one, something, so that the weights are in memory."""
        system_prompt = self._settings.system_prompt
        try:
            prompt = self._engine.encode_prefix(assemble(system_prompt, ()))
        except PromptRefused as error:
            problem = f"the model's chat template refuses it: {error}"
            raise ConfigurationError([f"llm_service.system_prompt: {problem}"]) from error
        if len(prompt) >= thread.request_tokens_max:
            problem = f"{len(prompt)} tokens, and a request has at most {thread.request_tokens_max}"
            raise ConfigurationError([f"llm_service.system_prompt has {problem}"])
        job = Job(prompt=prompt, max_tokens=0, pinned=bool(system_prompt.strip()))
        async for _ in thread.submit(job).events():
            pass
