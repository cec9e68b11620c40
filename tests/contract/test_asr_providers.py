"""What every recogniser must do, and what the one behind gRPC must do when its service does not."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from core.audio.resample import Interpolator
from core.errors import ProviderError, ProviderRejected, ProviderUnavailable
from core.providers.asr.fallback import FallbackRecognizer
from core.providers.asr.grpc import QUEUE_FRAMES, GrpcRecognizer
from core.providers.asr.scripted import ScriptedRecognizer, ScriptedStream
from core.providers.asr.vosk_ws import VoskWsRecognizer, VoskWsSettings
from core.providers.base import RecognitionStream, Recognizer, Transcript
from core.providers.breaker import CircuitBreaker
from core.providers.member import Member
from core.providers.registry import PROVIDERS
from core.providers.settings import AsrSettings
from services.asr import settings as service_settings
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.service import AsrService
from services.asr.voice_activity import SileroModel
from services.common import correlation
from services.common.lifecycle import Lifecycle
from services.common.testing import serving
from tests.contract.backend import WAIT_S, Backend, free_port, silent_port, until
from tests.support.standins.vosk_server import VoskServer
from tests.support.standins.vosk_server import scripted as scripted_decoders
from tests.support.voices import speech
from voice_api import asr_pb2, asr_pb2_grpc

QUESTION = "When are you open?"
CHUNK_S = 0.1
Request = asr_pb2.StreamingRecognizeRequest
Response = asr_pb2.StreamingRecognizeResponse


class ScriptedServicer(asr_pb2_grpc.ASRServiceServicer):
    """Hears one question whenever it hears anything. Can refuse, break, and stop reading."""

    def __init__(self) -> None:
        self.refusal: grpc.StatusCode | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.ends = False
        self.configs: list[asr_pb2.RecognitionConfig] = []
        self.metadata: list[dict[str, Any]] = []
        self.running = 0
        self.cancelled = 0

    async def StreamingRecognize(  # type: ignore[override]  # noqa: N802  gRPC's name
        self, request_iterator: AsyncIterator[Request], context: Any
    ) -> None:
        self.running += 1
        try:
            await self._serve(request_iterator, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _serve(self, requests: AsyncIterator[Request], context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        if self.refusal is not None:
            await context.abort(self.refusal, "as the test wants it")
        first = await anext(aiter(requests))
        self.configs.append(first.config)
        if self.ends:
            return
        stream = ScriptedStream([QUESTION] * 10, int(first.config.sample_rate))
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(stream, context))
            async for request in requests:
                await self.reads.wait()
                if request.WhichOneof("request_type") == "finalize":
                    await stream.finalize(request.finalize.utterance_id)
                else:
                    await stream.send(request.audio_data)
            writing.cancel()

    async def _write(self, stream: ScriptedStream, context: Any) -> None:
        async for transcript in stream.transcripts():
            await context.write(
                Response(
                    result=asr_pb2.RecognitionResult(text=transcript.text),
                    is_final=transcript.is_final,
                    is_stable=transcript.is_stable,
                    utterance_id=transcript.utterance_id,
                    rejected_reason=transcript.rejected_reason,
                    processing_ms=1.5,
                )
            )


class Remote:
    """A recogniser behind gRPC, and the servicer at the other end."""

    def __init__(self) -> None:
        # Core does not use the other RPCs.
        self.servicer = ScriptedServicer()  # type: ignore[abstract]
        self.backend = Backend(lambda server: asr_pb2_grpc.add_ASRServiceServicer_to_server(self.servicer, server))

    async def __aenter__(self) -> "Remote":
        await self.backend.start()
        self.recognizer = recognizer(self.backend.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.recognizer.close()
        await self.backend.die()


def recognizer(port: int, **settings: Any) -> GrpcRecognizer:
    return GrpcRecognizer(AsrSettings(host="127.0.0.1", port=port, **settings))


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Recognizer]:
    yield ScriptedRecognizer([QUESTION])


@contextlib.asynccontextmanager
async def over_grpc() -> AsyncIterator[Recognizer]:
    async with Remote() as remote:
        yield remote.recognizer


@contextlib.asynccontextmanager
async def taken_over() -> AsyncIterator[Recognizer]:
    """Every stream is begun by a service that refuses it once it is open, and heard by the next."""
    async with Remote() as remote, scripted() as second:
        remote.servicer.refusal = grpc.StatusCode.UNAVAILABLE
        await until(lambda: remote.recognizer.ready)
        members = [Member(each, CircuitBreaker("asr", each.name, 100, 15.0)) for each in (remote.recognizer, second)]
        provider = FallbackRecognizer(members, AsrSettings())
        yield provider
        await provider.close()


class KeptWhisper(FasterWhisper):
    """Loaded once; the services that use it leave it as it is."""

    loaded = False

    def load(self) -> None:
        if not self.loaded:
            super().load()
            self.loaded = True

    def close(self) -> None:
        """The next test needs it."""


@functools.cache
def whisper() -> KeptWhisper:
    return KeptWhisper(service_settings.AsrSettings(), Path("models"))


@contextlib.asynccontextmanager
async def real_service() -> AsyncIterator[Recognizer]:
    lifecycle = Lifecycle()
    settings = service_settings.AsrSettings()
    service = AsrService(whisper(), SileroModel(), settings, lifecycle, CollectorRegistry())
    async with serving(service, lifecycle=lifecycle) as server:
        provider = recognizer(server.port)
        yield provider
        await provider.close()


@contextlib.asynccontextmanager
async def over_vosk_wire(*, resets: bool = True) -> AsyncIterator[Recognizer]:
    async with VoskServer(scripted_decoders([QUESTION])) as server:
        server.knows_reset = resets
        provider = VoskWsRecognizer(AsrSettings(), VoskWsSettings(url=server.url))
        yield provider
        await provider.close()


Make = Callable[[], AbstractAsyncContextManager[Recognizer]]
EVERY = [
    pytest.param(scripted, id="scripted"),
    pytest.param(over_grpc, id="grpc"),
    pytest.param(taken_over, id="fallback"),
    pytest.param(over_vosk_wire, id="vosk_ws"),
    pytest.param(functools.partial(over_vosk_wire, resets=False), id="vosk_ws without reset"),
    pytest.param(real_service, id="service", marks=pytest.mark.engine),
]


@pytest.fixture(params=EVERY)
async def any_recognizer(request: pytest.FixtureRequest) -> AsyncIterator[Recognizer]:
    before = asyncio.all_tasks()
    make: Make = request.param
    async with make() as provider:
        yield provider
    await until(lambda: not {task for task in asyncio.all_tasks() - before if task.get_name() == "asr-writer"})


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with Remote() as remote:
        yield remote


class Listening:
    """One stream, read in the background as a call does."""

    def __init__(self, stream: RecognitionStream, rate_hz: int) -> None:
        self.stream = stream
        self.rate_hz = rate_hz
        self.heard: list[Transcript] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for transcript in self.stream.transcripts():
            self.heard.append(transcript)

    async def say(self, text: str = QUESTION, pause_s: float = 0.6) -> None:
        pcm = speech(text) + bytes(2 * int(8000 * pause_s))
        await self.send(Interpolator().process(pcm) if self.rate_hz == 16000 else pcm)

    async def send(self, pcm: bytes) -> None:
        size = int(self.rate_hz * CHUNK_S) * 2
        for start in range(0, len(pcm), size):
            await self.stream.send(pcm[start : start + size])
            await asyncio.sleep(0.002)

    async def stable(self) -> Transcript:
        await until(lambda: self.reading.done() or any(each.is_stable for each in self.heard))
        return [each for each in self.heard if each.is_stable][-1]

    async def final(self, utterance_id: int) -> Transcript:
        await self.stream.finalize(utterance_id)
        await until(
            lambda: (
                self.reading.done() or any(each.is_final and each.utterance_id == utterance_id for each in self.heard)
            )
        )
        return self.heard[-1]

    async def end(self) -> None:
        await self.stream.close()
        async with asyncio.timeout(WAIT_S):
            await self.reading


async def listen(recognizer: Recognizer, rate_hz: int = 8000) -> Listening:
    return Listening(await recognizer.open(rate_hz, ["Riverside"]), rate_hz)


# Every recogniser.


def test_every_registered_recogniser_is_here() -> None:
    assert {param.id for param in EVERY} - {"service", "fallback", "vosk_ws without reset"} == set(PROVIDERS["asr"])


@pytest.mark.parametrize("rate_hz", [8000, 16000])
async def test_a_question_is_stable_after_a_pause_and_final_when_asked(
    any_recognizer: Recognizer, rate_hz: int
) -> None:
    listening = await listen(any_recognizer, rate_hz)
    await listening.say()
    await listening.stable()
    final = await listening.final(7)
    assert (final.is_final, final.utterance_id, final.rejected_reason) == (True, 7, "")
    assert final.text.casefold().rstrip("?.") == QUESTION.casefold().rstrip("?.")
    assert [each for each in listening.heard if each.is_stable][-1].text == final.text
    assert [each.is_final for each in listening.heard] == [False] * (len(listening.heard) - 1) + [True]
    await listening.end()


async def test_each_finalize_is_answered_once_and_in_order(any_recognizer: Recognizer) -> None:
    listening = await listen(any_recognizer)
    await listening.say()
    first = await listening.final(1)
    second = await listening.final(2)
    await listening.say()
    third = await listening.final(3)
    await listening.end()
    finals = [each for each in listening.heard if each.is_final]
    assert finals == [first, second, third]
    assert [each.utterance_id for each in finals] == [1, 2, 3]
    assert [bool(each.text) for each in finals] == [True, False, True]


async def test_silence_is_an_empty_final_that_says_why(any_recognizer: Recognizer) -> None:
    listening = await listen(any_recognizer)
    await listening.send(bytes(16000))
    final = await listening.final(4)
    assert (final.text, final.utterance_id) == ("", 4)
    assert final.rejected_reason
    await listening.end()


async def test_a_final_without_any_audio_is_empty(any_recognizer: Recognizer) -> None:
    listening = await listen(any_recognizer)
    final = await listening.final(1)
    assert (final.text, bool(final.rejected_reason)) == ("", True)
    await listening.end()


async def test_streams_do_not_hear_each_other(any_recognizer: Recognizer) -> None:
    speaking, silent = await listen(any_recognizer), await listen(any_recognizer)
    await speaking.say()
    assert (await silent.final(1)).text == ""
    assert (await speaking.final(1)).text
    await silent.end()
    await speaking.end()


async def test_closing_ends_the_transcripts_and_may_be_repeated(any_recognizer: Recognizer) -> None:
    listening = await listen(any_recognizer)
    await listening.final(1)
    await listening.end()
    await listening.stream.close()
    with pytest.raises(ProviderError):
        await listening.stream.send(bytes(320))


async def test_cancelling_the_reader_propagates(any_recognizer: Recognizer) -> None:
    listening = await listen(any_recognizer)
    await listening.final(1)
    listening.reading.cancel()
    await asyncio.gather(listening.reading, return_exceptions=True)
    assert listening.reading.cancelled()
    await listening.stream.close()


# The one behind gRPC.


async def test_the_config_says_what_core_wants(remote: Remote) -> None:
    token = correlation.call_id.set("call-1")
    listening = await listen(remote.recognizer, 16000)
    correlation.call_id.reset(token)
    await until(lambda: remote.servicer.configs)
    [config] = remote.servicer.configs
    assert (config.sample_rate, config.interim_results, config.client_endpointing) == (16000, True, True)
    assert list(config.phrase_list) == ["Riverside"]
    assert remote.servicer.metadata[0]["x-call-id"] == "call-1"
    await listening.end()


async def test_the_language_that_callers_speak_is_asked_for(remote: Remote) -> None:
    provider = recognizer(remote.backend.port, language="en-GB")
    listening = await listen(provider)
    await until(lambda: remote.servicer.configs)
    assert remote.servicer.configs[0].language == "en-GB"
    await listening.end()
    await provider.close()


async def test_closing_a_stream_ends_the_work_on_the_other_side(remote: Remote) -> None:
    listening = await listen(remote.recognizer)
    await until(lambda: remote.servicer.running == 1)
    await listening.end()
    await until(lambda: remote.servicer.running == 0)
    assert remote.servicer.cancelled == 1


async def send_on_and_on(stream: RecognitionStream, size_bytes: int) -> None:
    for _ in range(100 * QUEUE_FRAMES):
        await stream.send(bytes(size_bytes))
        await asyncio.sleep(0)


async def failure_of(provider: Recognizer) -> ProviderError:
    """What a call is told of a stream that cannot be had, at its opening or when it is read."""
    try:
        stream = await provider.open(8000)
    except ProviderError as error:
        return error
    try:
        async with asyncio.timeout(WAIT_S):
            async for _ in stream.transcripts():
                pass
    except ProviderError as error:
        return error
    finally:
        await stream.close()
    raise AssertionError("the stream ended well")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("RESOURCE_EXHAUSTED", ProviderUnavailable),
        ("UNAVAILABLE", ProviderUnavailable),
        ("INVALID_ARGUMENT", ProviderRejected),
        ("INTERNAL", ProviderUnavailable),
    ],
)
async def test_a_refusal_is_an_error_of_ours(remote: Remote, status: str, kind: type[ProviderError]) -> None:
    remote.servicer.refusal = grpc.StatusCode[status]
    error = await failure_of(remote.recognizer)
    assert type(error) is kind
    assert "as the test wants it" in str(error)


async def test_a_refused_stream_is_not_said_again_by_grpc(remote: Remote) -> None:
    remote.servicer.refusal = grpc.StatusCode.UNAVAILABLE
    await failure_of(remote.recognizer)
    assert len(remote.servicer.metadata) == 1


async def test_a_service_that_is_away_is_unavailable() -> None:
    provider = recognizer(free_port(), max_retries=1)
    assert type(await failure_of(provider)) is ProviderUnavailable
    assert not provider.ready
    await provider.close()


async def test_a_service_that_accepts_and_never_answers_is_given_up() -> None:
    with silent_port() as port:
        provider = recognizer(port, timeout=0.2)
        with pytest.raises(ProviderUnavailable):
            await provider.open(8000)
        await provider.close()


async def test_a_service_that_dies_in_the_middle_and_returns_is_used_again(remote: Remote) -> None:
    listening = await listen(remote.recognizer)
    await listening.say()
    await listening.stable()
    await remote.backend.die()
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(listening.reading, WAIT_S)
    await until(lambda: not remote.recognizer.ready)
    with pytest.raises(ProviderUnavailable, match="has broken"):
        await send_on_and_on(listening.stream, 320)
    await listening.stream.close()

    await remote.backend.start()
    await until(lambda: remote.recognizer.ready)
    again = await listen(remote.recognizer)
    await again.say()
    assert (await again.final(1)).text == QUESTION
    await again.end()


async def test_a_stream_that_the_service_ends_is_over_and_takes_no_more_audio(remote: Remote) -> None:
    remote.servicer.ends = True
    listening = await listen(remote.recognizer)
    await asyncio.wait_for(listening.reading, WAIT_S)
    with pytest.raises(ProviderUnavailable, match="has broken"):
        await send_on_and_on(listening.stream, 320)
    await listening.stream.close()


async def test_a_recogniser_that_does_not_keep_up_is_unavailable_rather_than_filling_memory(remote: Remote) -> None:
    remote.servicer.reads.clear()
    listening = await listen(remote.recognizer)
    with pytest.raises(ProviderUnavailable, match="keep up"):
        await send_on_and_on(listening.stream, 16_000)
    remote.servicer.reads.set()
    await listening.end()
