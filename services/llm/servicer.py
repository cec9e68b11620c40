"""gRPC to the model's thread and back: opensips.ai.llm.LLMService (proto/voice_api/llm.proto)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2

from services.common.lifecycle import Lifecycle
from services.llm import measures, requests
from services.llm.conversation import assemble
from services.llm.engine import Engine, EngineFailed, PromptRefused
from services.llm.generation import Job
from services.llm.model_thread import Answer, Ended, ModelThread, QueueFull
from services.llm.requests import BadRequest
from services.llm.sessions import Sessions
from services.llm.settings import LlmSettings
from voice_api import llm_pb2, llm_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
_Status = grpc.StatusCode


class LlmServicer(llm_pb2_grpc.LLMServiceServicer):
    """Answers from `thread`, which is there once the model is loaded; the process lets no work in before."""

    thread: ModelThread

    def __init__(self, settings: LlmSettings, engine: Engine, sessions: Sessions, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._engine = engine
        self._sessions = sessions
        self._lifecycle = lifecycle
        self._started_s = time.monotonic()
        self._requests = 0

    async def ProcessText(  # noqa: N802  gRPC's name
        self, request: llm_pb2.TextProcessingRequest, context: _Context
    ) -> AsyncGenerator[llm_pb2.TextResponse, None]:
        self._requests += 1
        try:
            job = await self._answer_job(request)
            answer = self._submit(job)
        except (BadRequest, PromptRefused, QueueFull) as error:
            await _refuse(context, error)
        # An RPC that is cancelled while a response is being written closes this generator only some time later.
        context.add_done_callback(lambda _: answer.cancel())  # type: ignore[arg-type]  # the stubs err
        try:
            async with contextlib.aclosing(self._events(answer)) as events:
                async for event in events:
                    yield _response(event)
        except (EngineFailed, TimeoutError) as error:
            await _give_up(context, error)

    async def WarmUp(  # noqa: N802  gRPC's name
        self, request: llm_pb2.WarmUpRequest, context: _Context
    ) -> llm_pb2.WarmUpResponse:
        started_s = time.monotonic()
        try:
            job = await self._warm_up_job(request)
            answer = self._submit(job)
        except (BadRequest, PromptRefused, QueueFull) as error:
            await _refuse(context, error)
        try:
            async for _ in self._events(answer):
                pass
        except (EngineFailed, TimeoutError) as error:
            await _give_up(context, error)
        processing_ms = (time.monotonic() - started_s) * 1000
        return llm_pb2.WarmUpResponse(prompt_tokens=len(job.prompt), processing_ms=processing_ms)

    async def UpdateContext(  # noqa: N802  gRPC's name
        self, request: llm_pb2.ContextUpdateRequest, context: _Context
    ) -> llm_pb2.ContextResponse:
        try:
            session_id = requests.session_id(request.session_id, required=True)
            facts = self._sessions.update(session_id, request.updates)
        except ValueError as error:
            await _refuse(context, error)
        return llm_pb2.ContextResponse(success=True, message=f"facts kept: {facts}")

    async def EndSession(  # noqa: N802  gRPC's name
        self, request: llm_pb2.EndSessionRequest, context: _Context
    ) -> llm_pb2.EndSessionResponse:
        try:
            session_id = requests.session_id(request.session_id, required=True)
        except BadRequest as error:
            await _refuse(context, error)
        had_facts = self._sessions.end(session_id)
        had_cache = await self.thread.forget(session_id)
        return llm_pb2.EndSessionResponse(existed=had_facts or had_cache)

    async def HealthCheck(  # noqa: N802  gRPC's name
        self, _request: empty_pb2.Empty, _context: _Context
    ) -> llm_pb2.HealthResponse:
        readiness = self._lifecycle.readiness
        return llm_pb2.HealthResponse(
            status=llm_pb2.HealthResponse.SERVING if readiness.ready else llm_pb2.HealthResponse.NOT_SERVING,
            message=str(readiness) or "ready",
            model_loaded=self._engine.info.model if self._loaded else "",
        )

    async def GetStats(  # noqa: N802  gRPC's name
        self, _request: empty_pb2.Empty, _context: _Context
    ) -> llm_pb2.StatsResponse:
        stats = llm_pb2.StatsResponse(
            total_requests=self._requests, uptime_seconds=int(time.monotonic() - self._started_s)
        )
        if self._loaded:
            info = self._engine.info
            stats.model_info = f"{info.engine} {info.model}, {info.context_tokens} tokens, {info.sequences} sequences"
            stats.active_requests = self.thread.active
            stats.queued_requests = self.thread.queued
            stats.rejected_requests = self.thread.rejected
            stats.tokens_per_second = self.thread.tokens_per_second
        return stats

    @property
    def _loaded(self) -> bool:
        return hasattr(self, "thread")

    async def _answer_job(self, request: llm_pb2.TextProcessingRequest) -> Job:
        """Raises BadRequest, PromptRefused."""
        limit = self.thread.request_tokens_max
        session_id = requests.session_id(request.session_id)
        messages = requests.messages(request.messages, request.text, request.system_prompt, context_tokens=limit)
        wanted = requests.max_tokens(request, self._settings.max_tokens_limit)
        sampling = requests.sampling(request, self._settings)
        stop = requests.stop_strings(request)
        if not request.text.strip() and not any(message.content.strip() for message in messages):
            raise BadRequest("text and messages are empty")
        facts = self._sessions.facts(session_id)
        prompt = await asyncio.to_thread(
            self._engine.encode, assemble(request.system_prompt, messages, request.text, facts)
        )
        if len(prompt) >= limit:
            raise BadRequest(f"the prompt has {len(prompt)} tokens; prompt and answer together have at most {limit}")
        return Job(prompt, min(wanted, limit - len(prompt)), sampling, stop, session_id)

    async def _warm_up_job(self, request: llm_pb2.WarmUpRequest) -> Job:
        """Raises BadRequest, PromptRefused."""
        limit = self.thread.request_tokens_max
        session_id = requests.session_id(request.session_id)
        messages = requests.messages(request.messages, request.system_prompt, context_tokens=limit)
        told = assemble(request.system_prompt, messages, facts=self._sessions.facts(session_id))
        if not told:
            raise BadRequest("system_prompt and messages are empty")
        # After the user's words the assistant's turn is known to follow, after anything else the user's.
        encode = self._engine.encode if told[-1].role == "user" else self._engine.encode_prefix
        prompt = await asyncio.to_thread(encode, told)
        if len(prompt) >= limit:
            raise BadRequest(f"the prompt has {len(prompt)} tokens; prompt and answer together have at most {limit}")
        return Job(prompt, max_tokens=0, session_id=session_id)

    def _submit(self, job: Job) -> Answer:
        """Raises QueueFull."""
        try:
            return self.thread.submit(job)
        except QueueFull:
            measures.REFUSED.inc()
            raise

    async def _events(self, answer: Answer) -> AsyncGenerator[str | Ended, None]:
        """Raises EngineFailed, TimeoutError."""
        deadline_s = asyncio.get_running_loop().time() + self._settings.request_timeout_s
        async with contextlib.aclosing(answer.events()) as events:
            while True:
                async with asyncio.timeout_at(deadline_s):
                    event = await anext(events)
                yield event
                if isinstance(event, Ended):
                    measures.count_answer(event.finish, event.usage)
                    return


def _response(event: str | Ended) -> llm_pb2.TextResponse:
    if isinstance(event, str):
        return llm_pb2.TextResponse(chunk=event)
    usage = event.usage
    return llm_pb2.TextResponse(
        done=True,
        finish_reason=event.finish.value,
        usage=llm_pb2.Usage(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            queued_ms=usage.queued_s * 1000,
            first_token_ms=usage.first_token_s * 1000,
        ),
    )


async def _refuse(context: _Context, error: Exception) -> NoReturn:
    if isinstance(error, QueueFull):
        await context.abort(_Status.RESOURCE_EXHAUSTED, "as many requests wait as may; try again soon")
    reason = f"the model's chat template refuses: {error}" if isinstance(error, PromptRefused) else str(error)
    await context.abort(_Status.INVALID_ARGUMENT, reason)


async def _give_up(context: _Context, error: Exception) -> NoReturn:
    if isinstance(error, TimeoutError):
        await context.abort(_Status.DEADLINE_EXCEEDED, "llm_service.request_timeout_s is over")
    await context.abort(_Status.INTERNAL, str(error))
