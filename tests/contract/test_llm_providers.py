"""What every language model must do, and what the one behind gRPC must do when its service does not."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import GenerationParameters, Generator, Message
from core.providers.breaker import CircuitBreaker
from core.providers.llm.fallback import FallbackGenerator
from core.providers.llm.grpc import GrpcGenerator
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.member import Member
from core.providers.registry import PROVIDERS
from core.providers.settings import LlmSettings
from services.common import correlation
from services.common.lifecycle import Lifecycle
from services.common.testing import serving
from services.llm import settings as service_settings
from services.llm.engines.llama_cpp import LlamaCppEngine
from services.llm.service import LlmService
from tests.contract.backend import WAIT_S, Backend, free_port, leave, silent_port, until
from tests.contract.llm_servers import SERVERS, Served
from voice_api import llm_pb2, llm_pb2_grpc

ANSWER = ["We ", "are ", "open ", "from ", "nine."]
OPENING = (Message("system", "You are a receptionist. Answer in one sentence."),)
CONVERSATION = (*OPENING, Message("user", "What colour is the sky on a clear day?"))
PARAMETERS = GenerationParameters(max_tokens=12, temperature=0.0)


class ScriptedServicer(llm_pb2_grpc.LLMServiceServicer):
    """Answers in five pieces. Can refuse, at once or in the middle, and wait before each piece."""

    def __init__(self) -> None:
        self.refusal: grpc.StatusCode | None = None
        self.pieces_before_refusal = 0
        self.answer: Sequence[str] = ANSWER
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.running = 0
        self.cancelled = 0

    async def ProcessText(  # noqa: N802  gRPC's name
        self, request: llm_pb2.TextProcessingRequest, context: Any
    ) -> AsyncIterator[llm_pb2.TextResponse]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.running += 1
        try:
            for number, piece in enumerate(self.answer):
                if self.refusal is not None and number == self.pieces_before_refusal:
                    await context.abort(self.refusal, "as the test wants it")
                if number:
                    await self.may_go_on.wait()
                yield llm_pb2.TextResponse(chunk=piece)
            yield llm_pb2.TextResponse(done=True, finish_reason="stop")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def WarmUp(self, request: llm_pb2.WarmUpRequest, context: Any) -> llm_pb2.WarmUpResponse:  # noqa: N802
        await self._note(request, context)
        return llm_pb2.WarmUpResponse(prompt_tokens=7)

    async def EndSession(self, request: llm_pb2.EndSessionRequest, context: Any) -> llm_pb2.EndSessionResponse:  # noqa: N802
        await self._note(request, context)
        return llm_pb2.EndSessionResponse(existed=True)

    async def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        await self.may_go_on.wait()
        if self.refusal is not None:
            await context.abort(self.refusal, "as the test wants it")


class Remote:
    """A language model behind gRPC, and the servicer at the other end."""

    def __init__(self) -> None:
        # Core does not use the other RPCs.
        self.servicer = ScriptedServicer()  # type: ignore[abstract]
        self.backend = Backend(lambda server: llm_pb2_grpc.add_LLMServiceServicer_to_server(self.servicer, server))

    async def __aenter__(self) -> "Remote":
        await self.backend.start()
        self.generator = generator(self.backend.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.generator.close()
        await self.backend.die()


def generator(port: int, **settings: Any) -> GrpcGenerator:
    return GrpcGenerator(LlmSettings(host="127.0.0.1", port=port, **settings))


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Generator]:
    yield ScriptedGenerator("".join(ANSWER), 0.001)


@contextlib.asynccontextmanager
async def over_grpc() -> AsyncIterator[Generator]:
    async with Remote() as remote:
        yield remote.generator


@contextlib.asynccontextmanager
async def over(server: type[Served]) -> AsyncIterator[Generator]:
    async with server() as served:
        yield served.generator


@contextlib.asynccontextmanager
async def taken_over() -> AsyncIterator[Generator]:
    """Every answer is begun by a service that breaks off, and given by the next."""
    async with Remote() as remote, scripted() as second:
        remote.servicer.refusal = grpc.StatusCode.UNAVAILABLE
        remote.servicer.pieces_before_refusal = 1
        await until(lambda: remote.generator.ready)
        members = [Member(each, CircuitBreaker("llm", each.name, 100, 15.0)) for each in (remote.generator, second)]
        provider = FallbackGenerator(members, LlmSettings())
        yield provider
        await provider.close()


class KeptLlama(LlamaCppEngine):
    """Loaded once; the services that use it leave it as it is."""

    def load(self) -> None:
        if self._info is None:
            super().load()
        for sequence in range(self.info.sequences):
            self.truncate(sequence, 0)

    def close(self) -> None:
        """The next test needs it."""


@functools.cache
def llama() -> KeptLlama:
    return KeptLlama(_service_settings(), Path("models"))


def _service_settings() -> service_settings.LlmSettings:
    return service_settings.LlmSettings(context_tokens=1024, request_tokens=512, seed=1)


@contextlib.asynccontextmanager
async def real_service() -> AsyncIterator[Generator]:
    lifecycle = Lifecycle()
    async with serving(LlmService(_service_settings(), lifecycle, engine=llama()), lifecycle=lifecycle) as server:
        provider = generator(server.port)
        yield provider
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = llm_pb2_grpc.LLMServiceStub(channel)
            # However a test left its answers: none is worked on any more.
            async with asyncio.timeout(WAIT_S):
                while (await stub.GetStats(empty_pb2.Empty())).active_requests:
                    await asyncio.sleep(0.01)
        await provider.close()


Make = Callable[[], AbstractAsyncContextManager[Generator]]
EVERY = [
    pytest.param(scripted, id="scripted"),
    pytest.param(over_grpc, id="grpc"),
    pytest.param(taken_over, id="fallback"),
    *(pytest.param(functools.partial(over, server), id=name) for name, server in SERVERS.items()),
    pytest.param(real_service, id="service", marks=pytest.mark.engine),
]


@pytest.fixture(params=EVERY)
async def any_generator(request: pytest.FixtureRequest) -> AsyncIterator[Generator]:
    make: Make = request.param
    async with make() as provider:
        yield provider


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with Remote() as remote:
        yield remote


async def answer(
    provider: Generator, messages: Sequence[Message] = CONVERSATION, session_id: str = "call-1"
) -> list[str]:
    async with asyncio.timeout(WAIT_S * 2):
        pieces = [piece async for piece in provider.generate(messages, PARAMETERS, session_id)]
    return [piece for piece in pieces if isinstance(piece, str)]


# Every language model.


def test_every_registered_model_is_here() -> None:
    assert {param.id for param in EVERY} - {"service", "fallback"} == set(PROVIDERS["llm"])


async def test_an_answer_comes_in_pieces_of_text(any_generator: Generator) -> None:
    pieces = await answer(any_generator)
    assert len(pieces) > 1
    assert all(pieces)
    assert "".join(pieces).strip()


async def test_the_same_question_has_the_same_answer_where_nothing_is_left_to_chance(any_generator: Generator) -> None:
    assert "".join(await answer(any_generator)) == "".join(await answer(any_generator, session_id="call-2"))


async def test_an_answer_that_is_closed_early_leaves_the_model_free(any_generator: Generator) -> None:
    async with aclosing(any_generator.generate(CONVERSATION, PARAMETERS, "call-1")) as pieces:
        await anext(pieces)
    assert await answer(any_generator)


async def test_cancelling_an_answer_propagates(any_generator: Generator) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in any_generator.generate(CONVERSATION, PARAMETERS, "call-1"):
            begun.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(begun.wait(), WAIT_S)
    listening.cancel()
    await asyncio.wait({listening})
    assert listening.cancelled()


async def test_answers_at_the_same_time_do_not_mix(any_generator: Generator) -> None:
    alone = "".join(await answer(any_generator))
    both = await asyncio.gather(answer(any_generator, session_id="a"), answer(any_generator, session_id="b"))
    assert ["".join(pieces) for pieces in both] == [alone, alone]


async def test_a_session_is_warmed_answered_and_ended(any_generator: Generator) -> None:
    await any_generator.warm_up(OPENING, "call-1")
    assert await answer(any_generator)
    await any_generator.end_session("call-1")
    await any_generator.end_session("call-1")


async def test_ending_a_session_that_never_was_does_not_raise(any_generator: Generator) -> None:
    await any_generator.end_session("nobody")
    await any_generator.end_session("")


# The one behind gRPC.


async def test_the_request_says_what_core_wants(remote: Remote) -> None:
    token = correlation.call_id.set("call-1")
    parameters = GenerationParameters(max_tokens=9, temperature=0.0, top_p=0.5, stop=("\n",))
    assert [piece async for piece in remote.generator.generate(CONVERSATION, parameters, "s")] == ANSWER
    correlation.call_id.reset(token)
    [request] = remote.servicer.requests
    assert [(each.role, each.content) for each in request.messages] == [
        (message.role, message.content) for message in CONVERSATION
    ]
    # Zero is a wish, not the absence of one.
    assert request.HasField("temperature")
    assert (request.temperature, request.top_p, request.max_tokens) == (0.0, 0.5, 9)
    assert (list(request.stop), request.session_id) == (["\n"], "s")
    assert remote.servicer.metadata[0]["x-call-id"] == "call-1"


async def test_thoughts_of_the_services_model_are_not_said(remote: Remote) -> None:
    remote.servicer.answer = ("<th", "ink>The caller", " asks.</think>", "\n\n", "Yes", " <")
    assert await answer(remote.generator) == ["Yes", " ", "<"]


async def test_warming_and_ending_name_the_session(remote: Remote) -> None:
    await remote.generator.warm_up(OPENING, "s")
    await remote.generator.end_session("s")
    warm_up, end = remote.servicer.requests
    assert (warm_up.session_id, [each.content for each in warm_up.messages]) == ("s", [OPENING[0].content])
    assert end.session_id == "s"


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_early_stops_the_work_on_the_other_side(remote: Remote, how: str) -> None:
    remote.servicer.may_go_on.clear()
    pieces = remote.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert await anext(pieces) == ANSWER[0]
    assert remote.servicer.running == 1
    await leave(pieces, how)
    await until(lambda: remote.servicer.running == 0)
    assert remote.servicer.cancelled == 1


REFUSALS = [
    ("RESOURCE_EXHAUSTED", ProviderUnavailable),
    ("UNAVAILABLE", ProviderUnavailable),
    ("INVALID_ARGUMENT", ProviderRejected),
    ("DEADLINE_EXCEEDED", ProviderTimeout),
]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
@pytest.mark.parametrize("after", [0, 2])
async def test_a_refusal_is_an_error_of_ours(
    remote: Remote, status: str, kind: type[ProviderError], after: int
) -> None:
    remote.servicer.refusal = grpc.StatusCode[status]
    remote.servicer.pieces_before_refusal = after
    pieces = remote.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert [await anext(pieces) for _ in range(after)] == ANSWER[:after]
    with pytest.raises(ProviderError, match="as the test wants it") as refused:
        await anext(pieces)
    assert type(refused.value) is kind


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
async def test_a_refused_warm_up_raises_and_a_refused_end_does_not(
    remote: Remote, status: str, kind: type[ProviderError]
) -> None:
    remote.servicer.refusal = grpc.StatusCode[status]
    with pytest.raises(kind):
        await remote.generator.warm_up(OPENING, "s")
    await remote.generator.end_session("s")


async def test_a_passing_failure_is_tried_again(remote: Remote) -> None:
    remote.servicer.refusal = grpc.StatusCode.UNAVAILABLE
    answering = asyncio.create_task(answer(remote.generator))
    await until(lambda: remote.servicer.requests)
    remote.servicer.refusal = None
    assert await answering == ANSWER
    assert len(remote.servicer.requests) > 1


async def test_a_refused_request_is_not_tried_again(remote: Remote) -> None:
    remote.servicer.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(ProviderUnavailable):
        await answer(remote.generator)
    assert len(remote.servicer.requests) == 1


async def test_a_service_that_is_away_is_unavailable_and_sessions_still_end() -> None:
    provider = generator(free_port(), max_retries=1)
    with pytest.raises(ProviderUnavailable):
        await answer(provider)
    with pytest.raises(ProviderUnavailable):
        await provider.warm_up(OPENING, "s")
    await provider.end_session("s")
    assert not provider.ready
    await provider.close()


async def test_a_service_that_never_answers_times_out() -> None:
    with silent_port() as port:
        provider = generator(port, timeout=0.2)
        with pytest.raises(ProviderTimeout):
            await answer(provider)
        with pytest.raises(ProviderTimeout):
            await provider.warm_up(OPENING, "s")
        await provider.close()


async def test_an_answer_that_takes_too_long_times_out_with_what_came_so_far(remote: Remote) -> None:
    slow = generator(remote.backend.port, timeout=0.2)
    remote.servicer.may_go_on.clear()
    pieces = slow.generate(CONVERSATION, PARAMETERS, "s")
    assert await anext(pieces) == ANSWER[0]
    with pytest.raises(ProviderTimeout):
        await anext(pieces)
    await until(lambda: remote.servicer.running == 0)
    await slow.close()


async def test_a_service_that_dies_in_the_middle_and_returns_is_used_again(remote: Remote) -> None:
    await until(lambda: remote.generator.ready)
    remote.servicer.may_go_on.clear()
    pieces = remote.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert await anext(pieces) == ANSWER[0]
    await remote.backend.die()
    with pytest.raises(ProviderUnavailable):
        await anext(pieces)
    await until(lambda: not remote.generator.ready)
    remote.servicer.may_go_on.set()
    await remote.backend.start()
    await until(lambda: remote.generator.ready)
    assert await answer(remote.generator) == ANSWER
