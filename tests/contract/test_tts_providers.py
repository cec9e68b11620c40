"""What every voice must do, and what the one behind gRPC must do when its service does not."""

import asyncio
import contextlib
import functools
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Synthesizer
from core.providers.breaker import CircuitBreaker
from core.providers.member import Member
from core.providers.registry import PROVIDERS
from core.providers.settings import TtsSettings
from core.providers.tts.fallback import FallbackSynthesizer
from core.providers.tts.grpc import GrpcSynthesizer
from core.providers.tts.piper_ws import PiperWsSettings, PiperWsSynthesizer
from core.providers.tts.scripted import ScriptedSynthesizer
from services.common import correlation
from services.common.lifecycle import Lifecycle
from services.common.testing import serving
from services.tts.engine import EngineSettings
from services.tts.engines.piper import PiperEngine
from services.tts.service import TtsService
from services.tts.settings import SynthesisSettings
from tests.contract.backend import WAIT_S, Backend, free_port, leave, silent_port, until
from tests.support.standins.piper_server import PiperServer
from tests.support.standins.piper_server import real as real_piper_server
from voice_api import tts_pb2, tts_pb2_grpc

SENTENCE = "We are open from nine to six."
TWICE = f"{SENTENCE} And the shop is closed on Sunday afternoon."
Response = tts_pb2.SynthesizeResponse


class ScriptedServicer(tts_pb2_grpc.TTSServiceServicer):
    """Hums as the scripted voice does, between a start and a completion. Can refuse, and wait after a piece."""

    def __init__(self) -> None:
        self.refusal: grpc.StatusCode | None = None
        self.explains = False
        self.only_explains = False
        self.pieces_before_refusal = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.requests: list[tts_pb2.SynthesizeRequest] = []
        self.metadata: list[dict[str, Any]] = []
        self.running = 0
        self.cancelled = 0

    async def SynthesizeText(  # noqa: N802  gRPC's name
        self, request: tts_pb2.SynthesizeRequest, context: Any
    ) -> AsyncIterator[Response]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.running += 1
        try:
            yield Response(started=tts_pb2.SynthesisStarted(message="begun"))
            number = 0
            async for piece in ScriptedSynthesizer(0.0).synthesize(request.text, request.sample_rate):
                if number == self.pieces_before_refusal and (self.refusal or self.only_explains):
                    break
                if number:
                    await self.may_go_on.wait()
                yield Response(audio_chunk=piece)
                number += 1
            if self.explains or self.only_explains:
                yield Response(error=tts_pb2.SynthesisError(error_message="as the test wants it", error_code="x"))
            if self.refusal is not None:
                await context.abort(self.refusal, "as the test wants it")
            if not self.only_explains:
                yield Response(clause=tts_pb2.Clause(text=request.text, start=0, end=1))
                yield Response(completed=tts_pb2.SynthesisCompleted(message="done"))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class Remote:
    """A voice behind gRPC, and the servicer at the other end."""

    def __init__(self) -> None:
        # Core does not use the other RPCs.
        self.servicer = ScriptedServicer()  # type: ignore[abstract]
        self.backend = Backend(lambda server: tts_pb2_grpc.add_TTSServiceServicer_to_server(self.servicer, server))

    async def __aenter__(self) -> "Remote":
        await self.backend.start()
        self.synthesizer = synthesizer(self.backend.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.synthesizer.close()
        await self.backend.die()


def synthesizer(port: int, **settings: Any) -> GrpcSynthesizer:
    return GrpcSynthesizer(TtsSettings(host="127.0.0.1", port=port, **settings))


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Synthesizer]:
    yield ScriptedSynthesizer(0.001)


@contextlib.asynccontextmanager
async def over_grpc() -> AsyncIterator[Synthesizer]:
    async with Remote() as remote:
        yield remote.synthesizer


@contextlib.asynccontextmanager
async def taken_over() -> AsyncIterator[Synthesizer]:
    """Every text is begun by a service that breaks off, and ended by the next."""
    async with Remote() as remote:
        remote.servicer.refusal = grpc.StatusCode.UNAVAILABLE
        remote.servicer.pieces_before_refusal = 1
        await until(lambda: remote.synthesizer.ready)
        both: tuple[Synthesizer, ...] = (remote.synthesizer, ScriptedSynthesizer(0.001))
        members = [Member(each, CircuitBreaker("tts", each.name, 100, 15.0)) for each in both]
        provider = FallbackSynthesizer(members, TtsSettings())
        yield provider
        await provider.close()


class KeptPiper(PiperEngine):
    """Stays loaded when a service closes it, for the next test."""

    def close(self) -> None:
        pass


@functools.cache
def piper() -> KeptPiper:
    return KeptPiper(EngineSettings(models_dir=Path("models")))


@contextlib.asynccontextmanager
async def real_service() -> AsyncIterator[Synthesizer]:
    lifecycle = Lifecycle()
    async with serving(TtsService(SynthesisSettings(), piper(), lifecycle), lifecycle=lifecycle) as server:
        provider = synthesizer(server.port)
        yield provider
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = tts_pb2_grpc.TTSServiceStub(channel)
            # However a test left its speech: none is worked on any more.
            async with asyncio.timeout(WAIT_S):
                while (await stub.GetStats(empty_pb2.Empty())).active_sessions:
                    await asyncio.sleep(0.01)
        await provider.close()


@contextlib.asynccontextmanager
async def over_piper_wire() -> AsyncIterator[Synthesizer]:
    async with PiperServer() as server:
        provider = PiperWsSynthesizer(TtsSettings(), PiperWsSettings(url=server.url))
        yield provider
        await provider.close()


@contextlib.asynccontextmanager
async def real_over_piper_wire() -> AsyncIterator[Synthesizer]:
    async with real_piper_server() as server:
        provider = PiperWsSynthesizer(TtsSettings(), PiperWsSettings(url=server.url))
        yield provider
        await provider.close()


Make = Callable[[], AbstractAsyncContextManager[Synthesizer]]
EVERY = [
    pytest.param(scripted, id="scripted"),
    pytest.param(over_grpc, id="grpc"),
    pytest.param(taken_over, id="fallback"),
    pytest.param(over_piper_wire, id="piper_ws"),
    pytest.param(real_over_piper_wire, id="piper", marks=pytest.mark.engine),
    pytest.param(real_service, id="service", marks=pytest.mark.engine),
]


@pytest.fixture(params=EVERY)
async def any_synthesizer(request: pytest.FixtureRequest) -> AsyncIterator[Synthesizer]:
    make: Make = request.param
    async with make() as provider:
        yield provider


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with Remote() as remote:
        yield remote


async def spoken(provider: Synthesizer, text: str = SENTENCE, rate_hz: int = 8000) -> bytes:
    async with asyncio.timeout(WAIT_S * 2):
        return b"".join([piece async for piece in provider.synthesize(text, rate_hz)])


def seconds(pcm: bytes, rate_hz: int) -> float:
    assert len(pcm) % 2 == 0
    return len(pcm) / 2 / rate_hz


# Every voice.


def test_every_registered_voice_is_here() -> None:
    assert {param.id for param in EVERY} - {"service", "piper", "fallback"} == set(PROVIDERS["tts"])


@pytest.mark.parametrize("rate_hz", [8000, 16000])
async def test_a_sentence_is_as_long_as_it_takes_to_say_at_either_rate(
    any_synthesizer: Synthesizer, rate_hz: int
) -> None:
    pcm = await spoken(any_synthesizer, rate_hz=rate_hz)
    assert 1.0 < seconds(pcm, rate_hz) < 4.0
    assert max(array("h", pcm)) > 1000


async def test_more_words_take_longer_and_come_in_pieces(any_synthesizer: Synthesizer) -> None:
    pieces = [piece async for piece in any_synthesizer.synthesize(TWICE, 8000)]
    assert len(pieces) > 1
    assert all(piece and len(piece) % 2 == 0 for piece in pieces)
    assert seconds(b"".join(pieces), 8000) > 1.5 * seconds(await spoken(any_synthesizer), 8000)


async def test_the_rates_agree_on_the_length(any_synthesizer: Synthesizer) -> None:
    at_8, at_16 = [seconds(await spoken(any_synthesizer, rate_hz=rate), rate) for rate in (8000, 16000)]
    # A voice says nothing twice in quite the same time.
    assert at_8 == pytest.approx(at_16, rel=0.15)


async def test_speech_that_is_closed_early_leaves_the_voice_free(any_synthesizer: Synthesizer) -> None:
    async with aclosing(any_synthesizer.synthesize(TWICE, 8000)) as pieces:
        await anext(pieces)
    assert await spoken(any_synthesizer)


async def test_cancelling_speech_propagates(any_synthesizer: Synthesizer) -> None:
    begun = asyncio.Event()

    async def speak() -> None:
        async for _ in any_synthesizer.synthesize(TWICE, 8000):
            begun.set()
            await asyncio.sleep(WAIT_S)

    speaking = asyncio.create_task(speak())
    await asyncio.wait_for(begun.wait(), WAIT_S)
    speaking.cancel()
    await asyncio.wait({speaking})
    assert speaking.cancelled()


async def test_sentences_at_the_same_time_do_not_mix(any_synthesizer: Synthesizer) -> None:
    alone = seconds(await spoken(any_synthesizer), 8000)
    both = await asyncio.gather(spoken(any_synthesizer), spoken(any_synthesizer))
    assert [seconds(pcm, 8000) for pcm in both] == pytest.approx([alone, alone], rel=0.15)


# The one behind gRPC.


async def test_the_request_says_what_core_wants(remote: Remote) -> None:
    provider = synthesizer(remote.backend.port, voice="anna", speaking_rate=1.25)
    token = correlation.call_id.set("call-1")
    await spoken(provider, rate_hz=16000)
    correlation.call_id.reset(token)
    [request] = remote.servicer.requests
    assert (request.text, request.voice, request.sample_rate, request.speaking_rate) == (
        SENTENCE,
        "anna",
        16000,
        1.25,
    )
    assert remote.servicer.metadata[0]["x-call-id"] == "call-1"
    await provider.close()


async def test_what_is_not_audio_is_not_played(remote: Remote) -> None:
    assert await spoken(remote.synthesizer) == await spoken(ScriptedSynthesizer(0.0))


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_early_stops_the_work_on_the_other_side(remote: Remote, how: str) -> None:
    remote.servicer.may_go_on.clear()
    pieces = remote.synthesizer.synthesize(TWICE, 8000)
    await anext(pieces)
    assert remote.servicer.running == 1
    await leave(pieces, how)
    await until(lambda: remote.servicer.running == 0)
    assert remote.servicer.cancelled == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("RESOURCE_EXHAUSTED", ProviderUnavailable),
        ("UNAVAILABLE", ProviderUnavailable),
        ("INVALID_ARGUMENT", ProviderRejected),
        ("DEADLINE_EXCEEDED", ProviderTimeout),
    ],
)
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("explains", [False, True])
async def test_a_refusal_is_an_error_of_ours(
    remote: Remote, status: str, kind: type[ProviderError], after: int, explains: bool
) -> None:
    remote.servicer.refusal = grpc.StatusCode[status]
    remote.servicer.pieces_before_refusal = after
    remote.servicer.explains = explains
    pieces = remote.synthesizer.synthesize(TWICE, 8000)
    for _ in range(after):
        assert await anext(pieces)
    with pytest.raises(ProviderError, match="as the test wants it") as refused:
        await anext(pieces)
    assert type(refused.value) is kind


async def test_an_older_server_that_only_explains_has_refused(remote: Remote) -> None:
    remote.servicer.only_explains = True
    with pytest.raises(ProviderRejected, match="as the test wants it"):
        await spoken(remote.synthesizer)


@pytest.mark.engine
@pytest.mark.parametrize("text", ["", "  ", "...", "x" * 5001])
async def test_a_text_that_cannot_be_spoken_is_refused_for_good(text: str) -> None:
    async with real_service() as provider:
        with pytest.raises(ProviderRejected):
            await spoken(provider, text)


async def test_a_service_that_is_away_is_unavailable() -> None:
    provider = synthesizer(free_port(), max_retries=1)
    with pytest.raises(ProviderUnavailable):
        await spoken(provider)
    assert not provider.ready
    await provider.close()


async def test_a_service_that_never_answers_times_out() -> None:
    with silent_port() as port:
        provider = synthesizer(port, timeout=0.2)
        with pytest.raises(ProviderTimeout):
            await spoken(provider)
        await provider.close()


async def test_speech_that_takes_too_long_times_out_with_what_came_so_far(remote: Remote) -> None:
    slow = synthesizer(remote.backend.port, timeout=0.2)
    remote.servicer.may_go_on.clear()
    pieces = slow.synthesize(TWICE, 8000)
    assert await anext(pieces)
    with pytest.raises(ProviderTimeout):
        await anext(pieces)
    await until(lambda: remote.servicer.running == 0)
    await slow.close()


async def test_a_service_that_dies_in_the_middle_and_returns_is_used_again(remote: Remote) -> None:
    await until(lambda: remote.synthesizer.ready)
    remote.servicer.may_go_on.clear()
    pieces = remote.synthesizer.synthesize(TWICE, 8000)
    assert await anext(pieces)
    await remote.backend.die()
    with pytest.raises(ProviderUnavailable):
        await anext(pieces)
    await until(lambda: not remote.synthesizer.ready)
    remote.servicer.may_go_on.set()
    await remote.backend.start()
    await until(lambda: remote.synthesizer.ready)
    assert await spoken(remote.synthesizer)
