"""The RPCs beside the stream, and a service without its model."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.asr.tests.client import Client
from services.asr.tests.conftest import Serve
from services.asr.tests.fakes import ToneEngine, quiet, said


async def test_recognize_gives_the_transcript_of_a_whole_recording(client: Client) -> None:
    pcm = quiet(1.0) + said("hello") + quiet(2.0) + said("book", "please")
    response = await client.recognize(pcm, sample_rate=16_000, show_words=True)
    assert response.result.text == "hello book please"
    assert response.result.confidence == pytest.approx(0.9)
    assert response.result.words[1].start == pytest.approx(3.35, abs=0.04)


async def test_recognize_takes_telephone_audio(client: Client) -> None:
    response = await client.recognize(said("table", sample_rate_hz=8000), sample_rate=8000)
    assert response.result.text == "table"


async def test_recognize_of_a_long_recording_lets_others_in_between(client: Client, engine: ToneEngine) -> None:
    engine.counts = True
    response = await client.recognize(said(*["four"] * 100), sample_rate=16_000)
    assert response.result.text == "100 words"
    assert engine.calls == ["final"]


async def test_recognize_of_silence_is_empty(client: Client, engine: ToneEngine) -> None:
    assert (await client.recognize(quiet(3.0))).result.text == ""
    assert engine.calls == []


async def test_configure_sets_what_later_streams_do_not_say(client: Client) -> None:
    answer = await client.configure(sample_rate=8000, show_words=True, client_endpointing=True)
    assert answer.success
    assert "8000 Hz" in answer.message
    stream = await client.stream(phrase_list=["x"])
    await stream.say(said("hello", sample_rate_hz=8000) + quiet(1.0, 8000), chunk_size=320)
    await stream.finalize(5)
    final = await stream.final()
    assert (final.result.text, final.utterance_id) == ("hello", 5)
    assert [word.word for word in final.result.words] == ["hello"]


async def test_model_path_may_name_the_model_that_is_loaded(client: Client) -> None:
    assert (await client.configure(model_path="tones")).success
    assert (await client.configure(model_path="/app/models/tones")).success


async def test_stats_tell_of_streams_and_passes(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, client_endpointing=True)
    await stream.say(said("hello"))
    await stream.finalize()
    await stream.final()
    during = await client.stats()
    await stream.rest()
    after = await client.stats()
    assert (during.active_connections, during.total_connections) == (1, 1)
    assert (after.active_connections, after.total_connections) == (0, 1)
    assert after.average_processing_time > 0
    assert after.model_info == "tones: models/tones"


async def test_health_names_the_model(client: Client) -> None:
    health = await client.health()
    assert health.status == health.SERVING
    assert health.model_loaded == "models/tones"


async def test_missing_model_keeps_the_service_up_and_says_what_to_do(serve: Serve) -> None:
    async with serve(ToneEngine(missing=True)) as client:
        health = await client.health()
        assert health.status == health.NOT_SERVING
        assert "models/tones/tones.bin" in health.message
        assert "oavc models fetch tones" in health.message
        stream = await client.stream()
        error = await stream.error()
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "oavc models fetch tones" in (error.details() or "")
        assert await _status(client.channel, "readiness") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await _status(client.channel, "liveness") == health_pb2.HealthCheckResponse.SERVING


async def _status(channel: grpc.aio.Channel, service: str) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    response: health_pb2.HealthCheckResponse = await check(health_pb2.HealthCheckRequest(service=service))
    return response.status


async def test_recognize_runs_beside_a_stream(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, client_endpointing=True)
    await stream.say(said("hello"))
    whole = asyncio.create_task(client.recognize(said("book"), sample_rate=16_000))
    await stream.finalize()
    assert (await stream.final()).result.text == "hello"
    assert (await whole).result.text == "book"
