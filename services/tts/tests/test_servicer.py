"""Every RPC of the service, over a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from google.protobuf.empty_pb2 import Empty

from services.common.lifecycle import Lifecycle
from services.common.testing import running_server
from services.tts import servicer
from services.tts.engine import EngineFailedError
from services.tts.service import TtsService
from services.tts.tests.factories import Answer, answer, request, samples, settings
from services.tts.tests.tone_engine import ANNA, BERT, BROKEN, WORD_S, ToneEngine
from voice_api import tts_pb2, tts_pb2_grpc

if TYPE_CHECKING:
    from voice_api.tts_pb2_grpc import TTSServiceAsyncStub

TEXT = "Thank you for calling, how can I help you? Yes."
TIMEOUT_S = 5


async def test_audio_comes_between_started_and_completed(stub: "TTSServiceAsyncStub") -> None:
    answered = await answer(stub.SynthesizeText(request(TEXT, sample_rate=8000, clause_marks=True)))
    assert answered.kinds[0] == "started"
    assert answered.kinds[-1] == "completed"
    info = answered.started[0].audio_info
    assert (info.sample_rate, info.channels, info.bit_depth, info.format) == (8000, 1, 16, "pcm_s16le")
    stats = answered.completed[0].stats
    assert stats.total_bytes == len(answered.pcm)
    assert stats.packet_count == len(answered.chunks)
    assert stats.audio_duration_seconds == pytest.approx(len(answered.pcm) / 16000)
    assert 0 < stats.first_audio_ms <= stats.processing_time_ms
    assert not stats.from_cache


async def test_chunks_are_small_and_whole_samples(stub: "TTSServiceAsyncStub") -> None:
    answered = await answer(stub.SynthesizeText(request(TEXT, sample_rate=22050)))
    assert all(0 < len(chunk) <= 22050 * 2 // 5 and len(chunk) % 2 == 0 for chunk in answered.chunks)


async def test_each_clause_is_marked_after_its_audio(stub: "TTSServiceAsyncStub") -> None:
    answered = await answer(stub.SynthesizeText(request(TEXT, sample_rate=8000, clause_marks=True)))
    assert [clause.text for clause in answered.clauses] == ["Thank you for calling,", "how can I help you?", "Yes."]
    assert answered.clauses[0].end == pytest.approx(4 * WORD_S, abs=0.05)
    assert answered.kinds.index("clause") > answered.kinds.index("audio_chunk")
    assert answered.kinds[-2] == "clause"


async def test_clauses_are_not_marked_unasked(stub: "TTSServiceAsyncStub") -> None:
    assert (await answer(stub.SynthesizeText(request(TEXT)))).clauses == []


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
async def test_every_rate_is_served(stub: "TTSServiceAsyncStub", rate_hz: int) -> None:
    answered = await answer(stub.SynthesizeText(request("one two three", sample_rate=rate_hz)))
    audio = samples(answered.pcm)
    spectrum = np.abs(np.fft.rfft(audio))
    assert float(np.argmax(spectrum)) * rate_hz / audio.size == pytest.approx(440, abs=5)


async def test_the_first_clause_is_sent_while_the_next_is_made(stub: "TTSServiceAsyncStub", engine: ToneEngine) -> None:
    call = stub.SynthesizeText(request(TEXT, clause_marks=True))
    async with asyncio.timeout(TIMEOUT_S):
        async for response in call:
            if response.WhichOneof("response_type") == "started":
                continue
            assert response.audio_chunk
            engine.hold()
            break
    engine.let_go()
    call.cancel()


async def test_the_whole_audio_in_one_message(stub: "TTSServiceAsyncStub") -> None:
    whole = await stub.SynthesizeSingle(request(TEXT, sample_rate=8000))
    streamed = await answer(stub.SynthesizeText(request(TEXT, sample_rate=8000)))
    assert whole.WhichOneof("response_type") == "audio_chunk"
    assert whole.audio_chunk == streamed.pcm
    assert streamed.completed[0].stats.from_cache


async def test_audio_too_long_for_one_message_is_refused(
    stub: "TTSServiceAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "SINGLE_SIZE_MAX_BYTES", 30_000)
    with pytest.raises(grpc.aio.AioRpcError, match="use SynthesizeText") as refused:
        await stub.SynthesizeSingle(request(TEXT, sample_rate=8000))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


REFUSED = [
    ({"text": ""}, "text is empty"),
    ({"text": " \n"}, "text is empty"),
    ({"text": "x " * 2501}, "text has 5002 characters, more than 5000"),
    ({"text": "a\x07b"}, "control character U+0007"),
    ({"text": "?!"}, "nothing in the text can be spoken"),
    ({"text": "a", "voice": "carl"}, "unknown voice 'carl'; installed: anna, bert, broken"),
    ({"text": "a", "voice": "/etc/passwd"}, "unknown voice"),
    ({"text": "a", "sample_rate": 44100}, "sample_rate 44100"),
    ({"text": "a", "sample_rate": -1}, "sample_rate -1"),
    ({"text": "a", "speaking_rate": 100.0}, "speaking_rate 100"),
    ({"text": "a", "speaking_rate": -1.0}, "speaking_rate -1"),
    ({"text": "a", "speaking_rate": float("nan")}, "speaking_rate nan"),
]


@pytest.mark.parametrize(("fields", "reason"), REFUSED)
async def test_a_wrong_request_is_refused_with_the_reason(
    stub: "TTSServiceAsyncStub", fields: dict[str, str], reason: str
) -> None:
    wrong = tts_pb2.SynthesizeRequest(**fields)  # type: ignore[arg-type]
    answered = Answer()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answer(stub.SynthesizeText(wrong), answered)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in (refused.value.details() or "")
    # A client that reads only messages learns it too, and nothing else came before.
    assert answered.kinds == ["error"]
    assert reason in answered.errors[0].error_message
    assert answered.errors[0].error_code == "INVALID_ARGUMENT"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.SynthesizeSingle(wrong)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in (refused.value.details() or "")


async def test_a_voice_that_cannot_be_loaded_says_how_to_replace_it(stub: "TTSServiceAsyncStub") -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="oavc models fetch broken") as refused:
        await answer(stub.SynthesizeText(request("hello", voice=BROKEN.name)))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_an_engine_that_fails_ends_its_request_and_no_other(
    stub: "TTSServiceAsyncStub", engine: ToneEngine
) -> None:
    engine.failure = EngineFailedError("out of order")
    with pytest.raises(grpc.aio.AioRpcError, match="out of order") as failed:
        await answer(stub.SynthesizeText(request("hello")))
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    engine.failure = None
    assert (await answer(stub.SynthesizeText(request("hello")))).completed
    assert (await stub.GetStats(Empty())).active_sessions == 0


async def test_cancelling_stops_after_the_clause_in_work(stub: "TTSServiceAsyncStub", engine: ToneEngine) -> None:
    engine.hold()
    call = stub.SynthesizeText(request(TEXT))
    task = asyncio.create_task(answer(call))
    assert await asyncio.to_thread(engine.begun.acquire, timeout=TIMEOUT_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(TIMEOUT_S):
        while (await stub.GetStats(Empty())).active_sessions:
            await asyncio.sleep(0)
    engine.let_go()
    assert (await answer(stub.SynthesizeText(request("Good bye.")))).completed
    assert engine.rendered == ["Thank you for calling,", "Good bye."]


async def test_the_first_clause_of_a_call_goes_before_the_later_ones_of_another(
    stub: "TTSServiceAsyncStub", engine: ToneEngine
) -> None:
    engine.hold()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer(stub.SynthesizeText(request("I speak at length. I go on. I never end."))))
        assert await asyncio.to_thread(engine.begun.acquire, timeout=TIMEOUT_S)
        for text in ("Hello you.", "Hello there."):
            tasks.create_task(answer(stub.SynthesizeText(request(text))))
        async with asyncio.timeout(TIMEOUT_S):
            while (await stub.GetStats(Empty())).active_sessions < 3:
                await asyncio.sleep(0)
        engine.let_go()
    assert engine.rendered[0] == "I speak at length."
    assert set(engine.rendered[1:3]) == {"Hello you.", "Hello there."}
    assert engine.rendered[3:] == ["I go on.", "I never end."]


async def test_the_same_words_asked_for_twice_at_once_are_rendered_once(
    stub: "TTSServiceAsyncStub", engine: ToneEngine
) -> None:
    engine.hold()
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(answer(stub.SynthesizeText(request("Hello you.")))) for _ in range(2)]
        async with asyncio.timeout(TIMEOUT_S):
            while (await stub.GetStats(Empty())).active_sessions < 2:
                await asyncio.sleep(0)
        engine.let_go()
    assert both[0].result().pcm == both[1].result().pcm
    assert engine.rendered == ["Hello you."]
    stats = await stub.GetStats(Empty())
    assert (stats.cache_hits, stats.cache_misses) == (1, 1)


async def test_more_requests_than_allowed_are_refused_as_exhausted() -> None:
    engine, lifecycle = ToneEngine(), Lifecycle()
    service = TtsService(settings(requests_max=1), engine, lifecycle)
    async with running_server(service, lifecycle=lifecycle) as channel:
        stub: TTSServiceAsyncStub = tts_pb2_grpc.TTSServiceStub(channel)
        engine.forget()
        engine.hold()
        first = asyncio.create_task(answer(stub.SynthesizeText(request("hello"))))
        assert await asyncio.to_thread(engine.begun.acquire, timeout=TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError, match="1 requests are being answered") as refused:
            await answer(stub.SynthesizeText(request("hello")))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        engine.let_go()
        assert (await first).completed


async def test_configure_sets_what_is_used_where_nothing_is_asked_for(stub: "TTSServiceAsyncStub") -> None:
    configured = await stub.Configure(tts_pb2.ConfigureRequest(voice=BERT.name, sample_rate=16000))
    assert configured.success
    assert (await answer(stub.SynthesizeText(request("eins")))).started[0].audio_info.sample_rate == 16000
    assert (await stub.GetStats(Empty())).voice_model == BERT.name
    unchanged = await stub.Configure(tts_pb2.ConfigureRequest())
    assert unchanged.message == "voice bert, 16000 Hz"


@pytest.mark.parametrize(
    ("fields", "reason"), [({"voice": "carl"}, "unknown voice 'carl'"), ({"sample_rate": 11025}, "sample_rate 11025")]
)
async def test_a_wrong_configuration_changes_nothing(
    stub: "TTSServiceAsyncStub", fields: dict[str, str], reason: str
) -> None:
    wrong = tts_pb2.ConfigureRequest(**fields)  # type: ignore[arg-type]
    configured = await stub.Configure(wrong)
    assert not configured.success
    assert reason in configured.message
    assert (await stub.Configure(tts_pb2.ConfigureRequest())).message == "voice anna, 22050 Hz"


async def test_voices_are_listed(stub: "TTSServiceAsyncStub") -> None:
    voices = {voice.name: voice for voice in (await stub.GetVoices(Empty())).voices}
    anna = voices[ANNA.name]
    assert (anna.display_name, anna.language, anna.gender) == ("Anna", "en_US", "female")
    assert anna.description == "a tone"
    assert list(anna.supported_rates) == [8000, 16000, 22050]
    assert set(voices) == {"anna", "bert", "broken"}


async def test_statistics_count_what_was_done(stub: "TTSServiceAsyncStub") -> None:
    await answer(stub.SynthesizeText(request("hello")))
    await stub.SynthesizeSingle(request("hello"))
    stats = await stub.GetStats(Empty())
    assert (stats.total_syntheses, stats.active_sessions) == (2, 0)
    assert (stats.cache_hits, stats.cache_misses) == (1, 1)
    assert stats.average_processing_time > 0
    assert stats.voice_model == ANNA.name


async def test_health_says_that_it_serves(stub: "TTSServiceAsyncStub") -> None:
    health = await stub.HealthCheck(Empty())
    assert (health.status, health.message, health.voice_model) == (
        tts_pb2.HealthResponse.SERVING,
        "ready",
        ANNA.name,
    )


@pytest.fixture
async def missing() -> "AsyncIterator[TTSServiceAsyncStub]":
    lifecycle = Lifecycle()
    service = TtsService(settings(), ToneEngine(missing=Path("models/anna.onnx")), lifecycle)
    async with running_server(service, lifecycle=lifecycle) as channel:
        yield tts_pb2_grpc.TTSServiceStub(channel)


async def test_a_missing_model_is_named_with_the_command_that_gets_it(missing: "TTSServiceAsyncStub") -> None:
    health = await missing.HealthCheck(Empty())
    assert health.status == tts_pb2.HealthResponse.NOT_SERVING
    assert "models/anna.onnx" in health.message
    assert "oavc models fetch anna" in health.message
    with pytest.raises(grpc.aio.AioRpcError, match="oavc models fetch anna") as refused:
        await answer(missing.SynthesizeText(request("hello")))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
