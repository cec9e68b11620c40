"""Every RPC of the service, over a real server."""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from services.common.lifecycle import Lifecycle
from services.common.model_files import ModelBroken
from services.common.testing import running_server, serving
from services.llm.engine import EngineFailed, Feed
from services.llm.engines.llama_cpp import LlamaCppEngine
from services.llm.engines.scripted import ScriptedEngine
from services.llm.service import LlmService
from services.llm.tests.factories import MODELS_DIR, SteppedEngine, make_settings, running, until
from voice_api.llm_pb2 import (
    ContextUpdateRequest,
    EndSessionRequest,
    HealthResponse,
    Message,
    TextProcessingRequest,
    TextResponse,
    WarmUpRequest,
)
from voice_api.llm_pb2_grpc import LLMServiceStub

if TYPE_CHECKING:
    from voice_api.llm_pb2_grpc import LLMServiceAsyncStub


async def ask(stub: "LLMServiceAsyncStub", request: TextProcessingRequest) -> tuple[str, TextResponse]:
    """The whole text, and the last response."""
    responses = [response async for response in stub.ProcessText(request)]
    assert [response.done for response in responses] == [False] * (len(responses) - 1) + [True]
    return "".join(response.chunk for response in responses), responses[-1]


async def refusal(call: "grpc.aio.UnaryStreamCall[TextProcessingRequest, TextResponse]") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value


async def until_idle(stub: "LLMServiceAsyncStub") -> None:
    async with asyncio.timeout(10):
        while (await stub.GetStats(Empty())).active_requests:
            await asyncio.sleep(0.001)


async def test_text_is_answered_with_finish_and_usage() -> None:
    async with running() as stub:
        text, last = await ask(stub, TextProcessingRequest(text="hello", system_prompt="Repeat."))
    assert text == "You said: hello"
    assert last.finish_reason == "stop"
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (17, 16)
    assert last.usage.first_token_ms > 0


async def test_answer_streams_as_it_is_made() -> None:
    engine = SteppedEngine(make_settings())
    engine.allow(1)  # the warming at start
    async with running(engine=engine) as stub:
        call = stub.ProcessText(TextProcessingRequest(text="hello"))
        engine.allow(1)
        first = await anext(aiter(call))
        assert first.chunk == "Y"
        engine.run_freely()
        assert "".join([response.chunk async for response in call]) == "ou said: hello"


async def test_conversation_goes_between_system_prompt_and_text() -> None:
    engine = SteppedEngine(make_settings(), reply=lambda said: "ok")
    engine.run_freely()
    async with running(engine=engine) as stub:
        request = TextProcessingRequest(
            text="three",
            system_prompt="zero",
            messages=[Message(role="user", content="one"), Message(role="assistant", content="two")],
        )
        await ask(stub, request)
    prompt = bytes(token % 256 for feeds in engine.steps[1:] for token in feeds[0].tokens)
    assert re.findall(b"zero|one|two|three", prompt) == [b"zero", b"one", b"two", b"three"]


async def test_messages_alone_are_enough() -> None:
    async with running() as stub:
        text, _ = await ask(stub, TextProcessingRequest(messages=[Message(role="user", content="hi")]))
    assert text == "You said: hi"


async def test_limit_and_stop_strings_end_the_answer() -> None:
    async with running() as stub:
        text, last = await ask(stub, TextProcessingRequest(text="hello", max_tokens=3))
        assert (text, last.finish_reason) == ("You", "length")
        text, last = await ask(stub, TextProcessingRequest(text="hello", stop=["said"]))
        assert (text, last.finish_reason) == ("You ", "stop")


async def test_answer_is_cut_to_what_the_context_holds() -> None:
    settings = make_settings(context_tokens=64, request_tokens=64)
    async with running(settings) as stub:
        text, last = await ask(stub, TextProcessingRequest(text="x" * 40))
    assert last.finish_reason == "length"
    assert last.usage.prompt_tokens + last.usage.completion_tokens == 64
    assert text == "You said: " + "x" * 11


async def test_cancelling_stops_generation_within_one_token() -> None:
    engine = SteppedEngine(make_settings(), reply=lambda said: "x" * 500)
    engine.allow(1)
    lifecycle = Lifecycle()
    service = LlmService(make_settings(), lifecycle, MODELS_DIR, engine)
    async with (
        serving(service, lifecycle=lifecycle) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: LLMServiceAsyncStub = LLMServiceStub(channel)
        call = stub.ProcessText(TextProcessingRequest(text="talk", max_tokens=400))
        engine.allow(2)
        assert (await anext(aiter(call))).chunk
        for _ in range(1 + 3):  # the answer's third step has begun, and waits
            await asyncio.to_thread(engine.wait_until_asked)
        call.cancel()
        await until(lambda: server.in_flight == 0)
        engine.run_freely()
        await until_idle(stub)
        assert len(engine.steps) == 1 + 3


async def test_rpc_cancelled_while_a_response_is_written_stops_as_well() -> None:
    engine = SteppedEngine(make_settings())
    engine.allow(1)
    service = LlmService(make_settings(), Lifecycle(), MODELS_DIR, engine)
    await service.load()
    context = Mock(spec=grpc.aio.ServicerContext)
    responses = service.servicer.ProcessText(TextProcessingRequest(text="hello"), context)
    engine.allow(1)
    assert (await anext(responses)).chunk == "Y"
    for _ in range(1 + 2):  # the answer's second step has begun, and waits
        await asyncio.to_thread(engine.wait_until_asked)
    [call] = context.add_done_callback.call_args_list
    call.args[0](context)
    engine.run_freely()
    await until(lambda: service.servicer.thread.active == 0)
    assert len(engine.steps) == 1 + 2
    await responses.aclose()
    await service.close()


async def test_full_queue_is_refused_and_counted() -> None:
    engine = SteppedEngine(make_settings())
    engine.allow(1)
    async with running(make_settings(parallel=1, waiting_max=1), engine) as stub:
        calls = [stub.ProcessText(TextProcessingRequest(text=text)) for text in ("one", "two")]
        while (await stub.GetStats(Empty())).queued_requests < 1:
            await asyncio.sleep(0.001)
        error = await refusal(stub.ProcessText(TextProcessingRequest(text="three")))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.WarmUp(WarmUpRequest(system_prompt="four"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        stats = await stub.GetStats(Empty())
        assert (stats.active_requests, stats.queued_requests, stats.rejected_requests) == (1, 1, 2)
        engine.run_freely()
        answers = ["".join([response.chunk async for response in call]) for call in calls]
        assert answers == ["You said: one", "You said: two"]
        await until_idle(stub)


async def test_session_finds_its_prompt_in_the_cache() -> None:
    async with running() as stub:
        first = TextProcessingRequest(text="hello", system_prompt="Repeat.", session_id="a")
        text, _ = await ask(stub, first)
        again, last = await ask(stub, first)
        assert again == text
        assert last.usage.cached_tokens == last.usage.prompt_tokens - 1


async def test_warm_up_makes_the_first_prompt_known() -> None:
    async with running() as stub:
        warmed = await stub.WarmUp(WarmUpRequest(session_id="a", system_prompt="Repeat."))
        assert warmed.processing_ms > 0
        _, last = await ask(stub, TextProcessingRequest(session_id="a", system_prompt="Repeat.", text="hi"))
        assert last.usage.cached_tokens == warmed.prompt_tokens


async def test_warm_up_with_the_users_words_leaves_one_token() -> None:
    async with running() as stub:
        words = [Message(role="user", content="hi")]
        warmed = await stub.WarmUp(WarmUpRequest(session_id="a", system_prompt="Repeat.", messages=words))
        _, last = await ask(stub, TextProcessingRequest(session_id="a", system_prompt="Repeat.", text="hi"))
        assert last.usage.prompt_tokens == warmed.prompt_tokens
        assert last.usage.cached_tokens == warmed.prompt_tokens - 1


async def test_system_prompt_of_the_settings_is_warm_from_the_start() -> None:
    async with running(make_settings(system_prompt="Repeat.")) as stub:
        _, last = await ask(stub, TextProcessingRequest(system_prompt="Repeat.", text="hi"))
    assert last.usage.cached_tokens == 1 + len("Repeat.") + 2


async def test_facts_of_a_session_stand_in_its_later_prompts() -> None:
    engine = SteppedEngine(make_settings(), reply=lambda said: "ok")
    engine.run_freely()
    async with running(engine=engine) as stub:
        updated = await stub.UpdateContext(ContextUpdateRequest(session_id="a", updates={"name": "Ann"}))
        assert (updated.success, updated.message) == (True, "facts kept: 1")
        await ask(stub, TextProcessingRequest(text="hi", session_id="b"))
        assert "Ann" not in spoken_to(engine)
        await ask(stub, TextProcessingRequest(text="hi", session_id="a"))
        assert "Known about this call:\n- name: Ann" in spoken_to(engine)


async def test_ended_session_is_forgotten() -> None:
    async with running() as stub:
        await stub.UpdateContext(ContextUpdateRequest(session_id="a", updates={"name": "Ann"}))
        await ask(stub, TextProcessingRequest(text="hi", session_id="a"))
        assert (await stub.EndSession(EndSessionRequest(session_id="a"))).existed
        assert not (await stub.EndSession(EndSessionRequest(session_id="a"))).existed
        _, last = await ask(stub, TextProcessingRequest(text="hi", session_id="a"))
        assert last.usage.cached_tokens == 1  # the role marker every prompt begins with


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (TextProcessingRequest(), "text and messages are empty"),
        (TextProcessingRequest(text=" \n", messages=[Message(role="user", content=" ")]), "are empty"),
        (TextProcessingRequest(text="hi", temperature=-1), "temperature must be at least 0"),
        (TextProcessingRequest(text="hi", top_p=0), "top_p must be above 0"),
        (TextProcessingRequest(text="hi", max_tokens=-5), "max_tokens must be 1 to 512"),
        (TextProcessingRequest(text="hi", messages=[Message(role="root", content="x")]), "not 'root'"),
        (TextProcessingRequest(text="x" * 3000), r"3003 tokens; .* at most 2048"),
        (TextProcessingRequest(text="x" * 40000), "40000 characters"),
        (TextProcessingRequest(text="hi", session_id="x" * 257), "session_id"),
        (TextProcessingRequest(text="hi", stop=[""]), "stop string"),
    ],
)
async def test_absurd_request_is_refused_with_the_reason(request_: TextProcessingRequest, reason: str) -> None:
    async with running() as stub:
        error = await refusal(stub.ProcessText(request_))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert re.search(reason, error.details() or "")
        text, _ = await ask(stub, TextProcessingRequest(text="still well"))
        assert text == "You said: still well"


@pytest.mark.parametrize(
    "request_",
    [
        WarmUpRequest(),
        WarmUpRequest(system_prompt="x" * 3000),
        ContextUpdateRequest(updates={"name": "Ann"}),
        ContextUpdateRequest(session_id="a", updates={"": "Ann"}),
        EndSessionRequest(),
    ],
)
async def test_other_absurd_requests_are_refused(
    request_: WarmUpRequest | ContextUpdateRequest | EndSessionRequest,
) -> None:
    async with running() as stub:
        call: grpc.aio.UnaryUnaryCall[Any, Any]
        if isinstance(request_, WarmUpRequest):
            call = stub.WarmUp(request_)
        elif isinstance(request_, ContextUpdateRequest):
            call = stub.UpdateContext(request_)
        else:
            call = stub.EndSession(request_)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_request_that_takes_too_long_is_given_up() -> None:
    engine = SteppedEngine(make_settings())
    engine.allow(1)
    async with running(make_settings(request_timeout_s=0.05), engine) as stub:
        error = await refusal(stub.ProcessText(TextProcessingRequest(text="hello")))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.WarmUp(WarmUpRequest(system_prompt="hello"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        engine.run_freely()


class Failing(ScriptedEngine):
    """Fails every step with an answer in it."""

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        if any(feed.sampler for feed in feeds):
            raise EngineFailed("out of luck")
        return super().step(feeds)


async def test_failing_model_is_an_internal_error() -> None:
    async with running(engine=Failing(make_settings(), MODELS_DIR)) as stub:
        error = await refusal(stub.ProcessText(TextProcessingRequest(text="hello")))
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "the model failed")


async def test_health_and_stats_tell_the_truth() -> None:
    async with running() as stub:
        health = await stub.HealthCheck(Empty())
        assert (health.status, health.message, health.model_loaded) == (HealthResponse.SERVING, "ready", "scripted")
        await ask(stub, TextProcessingRequest(text="hello"))
        await refusal(stub.ProcessText(TextProcessingRequest()))
        stats = await stub.GetStats(Empty())
        assert stats.total_requests == 2
        assert stats.tokens_per_second > 0
        assert stats.model_info.startswith("scripted scripted, 3072 tokens")


async def test_missing_model_leaves_the_service_up_and_says_what_helps() -> None:
    settings, lifecycle = make_settings(model="/nowhere/model.gguf"), Lifecycle()
    async with running_server(LlmService(settings, lifecycle), lifecycle=lifecycle) as channel:
        stub: LLMServiceAsyncStub = LLMServiceStub(channel)
        health = await stub.HealthCheck(Empty())
        assert health.status == HealthResponse.NOT_SERVING
        assert "/nowhere/model.gguf" in health.message
        assert "oavc models" in health.message
        assert (await stub.GetStats(Empty())).model_info == ""
        error = await refusal(stub.ProcessText(TextProcessingRequest(text="hi")))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "/nowhere/model.gguf" in (error.details() or "")


async def test_model_that_cannot_evaluate_is_broken_and_tried_again() -> None:
    class Unusable(ScriptedEngine):
        broken = True

        def step(self, feeds: Sequence[Feed]) -> list[int | None]:
            if self.broken:
                raise EngineFailed("llama_decode: -3")
            return super().step(feeds)

    engine = Unusable(make_settings(), MODELS_DIR)
    service = LlmService(make_settings(), Lifecycle(), MODELS_DIR, engine)
    with pytest.raises(ModelBroken, match="cannot evaluate a prompt"):
        await service.load()
    engine.broken = False
    await service.load()
    await service.close()


async def test_draining_lets_an_answer_finish() -> None:
    engine, lifecycle = SteppedEngine(make_settings()), Lifecycle()
    engine.allow(1)
    async with running(engine=engine, lifecycle=lifecycle) as stub:
        call = stub.ProcessText(TextProcessingRequest(text="hello"))
        engine.allow(1)
        first = await anext(aiter(call))
        lifecycle.request_stop("test")
        engine.run_freely()
        assert first.chunk + "".join([response.chunk async for response in call]) == "You said: hello"
        error = await refusal(stub.ProcessText(TextProcessingRequest(text="late")))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.engine
async def test_several_calls_at_once_each_get_their_own_answer(llama: LlamaCppEngine) -> None:
    async with running(engine=llama) as stub:
        requests = [
            TextProcessingRequest(text=text, session_id=text, temperature=0, max_tokens=12)
            for text in ("Name a colour.", "What is two and two?", "Say hello.")
        ]
        alone = [await ask(stub, request) for request in requests]
        for request in requests:
            await stub.EndSession(EndSessionRequest(session_id=request.session_id))
        together = await asyncio.gather(*(ask(stub, request) for request in requests))
        assert all(text for text, _ in alone)
        assert [text for text, _ in together] == [text for text, _ in alone]


@pytest.mark.engine
async def test_cached_prompt_gives_the_same_answer(llama: LlamaCppEngine) -> None:
    system_prompt = "You are Anna, the receptionist of Bella Pizza. You answer in one short sentence. " * 3
    async with running(engine=llama) as stub:
        request = TextProcessingRequest(
            text="Hello, who are you?", system_prompt=system_prompt, session_id="a", temperature=0, max_tokens=16
        )
        text, first = await ask(stub, request)
        again, second = await ask(stub, request)
        assert again == text
        assert first.usage.completion_tokens == second.usage.completion_tokens
        assert first.usage.cached_tokens < 10
        assert second.usage.cached_tokens == second.usage.prompt_tokens - 1


def spoken_to(engine: SteppedEngine) -> str:
    """All text the engine was fed."""
    return bytes(token for feeds in engine.steps for feed in feeds for token in feed.tokens if token < 256).decode()
