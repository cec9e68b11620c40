"""Requests that cannot be met are refused with INVALID_ARGUMENT and the reason."""

import grpc
import pytest

from services.asr.settings import AsrSettings
from services.asr.tests.client import Client
from services.asr.tests.conftest import Serve
from services.asr.tests.fakes import ToneEngine, said

BAD_CONFIGS = [
    ({"sample_rate": 11_025}, "sample_rate 11025: only 8000 and 16000 Hz"),
    ({"sample_rate": -8000}, "sample_rate -8000"),
    ({"sample_rate": float("nan")}, "sample_rate nan"),
    ({"sample_rate": float("inf")}, "sample_rate inf"),
    ({"max_alternatives": -1}, "max_alternatives -1"),
    ({"max_alternatives": 10_000}, "max_alternatives 10000"),
    ({"endpoint_silence_ms": 5}, "endpoint_silence_ms 5"),
    ({"endpoint_silence_ms": -1}, "endpoint_silence_ms -1"),
    ({"endpoint_silence_ms": 2**31 - 1}, "endpoint_silence_ms 2147483647"),
    ({"language": "tlh"}, "language 'tlh'"),
    ({"phrase_list": ["x"] * 1000}, "phrase_list of 1000"),
    ({"phrase_list": ["x" * 1000]}, "phrase_list"),
    ({"phrase_list": ["  "]}, "phrase_list"),
]
BAD_AUDIO = [
    (b"", "audio_data is empty"),
    (b"\0" * 321, "321 bytes: 16-bit samples"),
    (b"\0" * 70_000, "70000 bytes is longer than 65536"),
]


@pytest.mark.parametrize(("config", "reason"), BAD_CONFIGS)
async def test_absurd_config_is_refused_on_a_stream(client: Client, config: dict[str, object], reason: str) -> None:
    stream = await client.stream(**config)
    error = await stream.error()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in (error.details() or "")


@pytest.mark.parametrize(("config", "reason"), BAD_CONFIGS)
async def test_absurd_config_is_refused_elsewhere(client: Client, config: dict[str, object], reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as configured:
        await client.configure(**config)
    with pytest.raises(grpc.aio.AioRpcError) as recognized:
        await client.recognize(said("hello"), **config)
    for error in (configured.value, recognized.value):
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason in (error.details() or "")


async def test_a_model_that_is_not_loaded_is_refused_where_it_is_asked_for_and_ignored_elsewhere(
    client: Client,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="the model of this service is models/tones"):
        await client.configure(model_path="/models/other")

    assert (
        await client.recognize(said("hello"), sample_rate=16_000, model_path="/models/other")
    ).result.text == "hello"


@pytest.mark.parametrize(("pcm", "reason"), BAD_AUDIO)
async def test_bad_audio_is_refused_on_a_stream(client: Client, pcm: bytes, reason: str) -> None:
    stream = await client.stream(sample_rate=8000)
    await stream.send(audio_data=pcm)
    error = await stream.error()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in (error.details() or "")


@pytest.mark.parametrize("pcm", [b"", b"\0" * 321, b"\0" * 40_000])
async def test_bad_audio_is_refused_at_once(serve: Serve, engine: ToneEngine, pcm: bytes) -> None:
    async with serve(engine, AsrSettings(recognize_max_s=1.0)) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.recognize(pcm, sample_rate=16_000)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "audio_data" in (caught.value.details() or "")


@pytest.mark.parametrize("control", ["", "eof", "[1]", "{}", '{"stop": 1}', "[" * 5000, "9" * 2000, '"eof"'])
async def test_unknown_control_message_is_refused(client: Client, control: str) -> None:
    stream = await client.stream(sample_rate=8000)
    await stream.send(control_message=control)
    error = await stream.error()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "control_message" in (error.details() or "")


async def test_audio_before_the_config_is_refused(client: Client) -> None:
    stream = await client.stream()
    await stream.send(audio_data=b"\0\0")
    assert "first message" in ((await stream.error()).details() or "")


async def test_stream_without_a_message_is_refused(client: Client) -> None:
    stream = await client.stream()
    await stream.call.done_writing()
    assert (await stream.error()).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_second_config_is_refused(client: Client) -> None:
    stream = await client.stream(sample_rate=8000)
    await stream.configure(sample_rate=16_000)
    assert "config comes once" in ((await stream.error()).details() or "")


async def test_empty_message_is_refused(client: Client) -> None:
    stream = await client.stream(sample_rate=8000)
    await stream.send()
    assert "empty" in ((await stream.error()).details() or "")


async def test_refusal_ends_readings_under_way(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, interim_results=True)
    await stream.say(said("hello"))
    await stream.send(audio_data=b"\0")
    assert (await stream.error()).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await client.stats()).active_connections == 0
