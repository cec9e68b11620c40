"""What is Piper's own: rates that are not what was asked for, messages told apart by place, and servers that fail."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.server_text import LEFT_OUT
from core.providers.settings import TtsSettings
from core.providers.tts.piper_ws import PiperWsSettings, PiperWsSynthesizer
from core.providers.tts.scripted import TONE_HZ, ScriptedSynthesizer
from tests.contract.backend import free_port, leave, silent_port, until
from tests.contract.test_tts_providers import SENTENCE, TWICE, seconds, spoken
from tests.support.standins.piper_server import PiperServer


def synthesizer(server: PiperServer | str, own_rate_hz: int = 0, **settings: Any) -> PiperWsSynthesizer:
    url = server if isinstance(server, str) else server.url
    return PiperWsSynthesizer(
        TtsSettings(**({"timeout": 5.0, "max_retries": 0} | settings)),
        PiperWsSettings(url=url, sample_rate=own_rate_hz),
    )


@pytest.fixture
async def server() -> AsyncIterator[PiperServer]:
    async with PiperServer() as server:
        yield server


@pytest.fixture
async def provider(server: PiperServer) -> AsyncIterator[PiperWsSynthesizer]:
    provider = synthesizer(server)
    yield provider
    await provider.close()


def pitch_hz(pcm: bytes, rate_hz: int) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate_hz / len(samples)


# Request and rate.


async def test_the_request_names_text_voice_and_rate(server: PiperServer) -> None:
    provider = synthesizer(server, voice="en_US-joe-medium")
    await spoken(provider, rate_hz=16000)
    assert server.requests == [{"text": SENTENCE, "voice": "en_US-joe-medium", "sample_rate": 16000}]
    await provider.close()


async def test_without_a_voice_the_server_chooses(server: PiperServer, provider: PiperWsSynthesizer) -> None:
    await spoken(provider)
    assert server.requests == [{"text": SENTENCE, "sample_rate": 8000}]


async def test_audio_at_the_rate_asked_for_is_passed_on_as_it_is(provider: PiperWsSynthesizer) -> None:
    assert await spoken(provider) == await spoken(ScriptedSynthesizer(0.0))


@pytest.mark.parametrize("wanted_hz", [8000, 16000])
@pytest.mark.parametrize("own_hz", [16000, 22050, 44100])
async def test_another_rate_that_the_server_names_is_converted(
    server: PiperServer, provider: PiperWsSynthesizer, own_hz: int, wanted_hz: int
) -> None:
    server.rate_hz = own_hz
    pcm = await spoken(provider, rate_hz=wanted_hz)
    as_long = await spoken(ScriptedSynthesizer(0.0), rate_hz=wanted_hz)
    assert seconds(pcm, wanted_hz) == pytest.approx(seconds(as_long, wanted_hz), abs=0.005)
    assert pitch_hz(pcm, wanted_hz) == pytest.approx(TONE_HZ, abs=2)


async def test_a_rate_that_the_server_keeps_to_itself_is_named_in_the_settings(server: PiperServer) -> None:
    server.rate_hz = 22050
    server.names_rate = False
    provider = synthesizer(server, own_rate_hz=22050)
    pcm = await spoken(provider)
    assert pitch_hz(pcm, 8000) == pytest.approx(TONE_HZ, abs=2)
    await provider.close()


async def test_a_sample_may_be_cut_between_two_messages(server: PiperServer, provider: PiperWsSynthesizer) -> None:
    server.odd_pieces = True
    assert await spoken(provider, TWICE) == await spoken(ScriptedSynthesizer(0.0), TWICE)


# Messages.


async def completed_by(*messages: dict[str, Any] | bytes) -> list[bytes]:
    """What is played of an answer that consists of these."""

    class Reciting(PiperServer):
        async def _answer(self, _request: object, socket: Any, _asked: object) -> None:
            for message in messages:
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_json(message)
            # Whatever is not a completion is waited after.
            await asyncio.Event().wait()

    async with Reciting() as server:
        provider = synthesizer(server, timeout=0.5)
        try:
            return [piece async for piece in provider.synthesize(SENTENCE, 8000)]
        finally:
            await provider.close()


PCM = array("h", [100, -100, 100]).tobytes()


@pytest.mark.parametrize(
    "start",
    [
        {"type": "start", "sample_rate": 8000},
        {"status": "started", "audio": {"sample_rate": 8000, "channels": 1}},
        {"event": "synthesis_started"},
        {"message": "here it comes", "sampleRate": 8000},
        {"sample_rate": "fast"},
        {},
    ],
)
@pytest.mark.parametrize("completion", [{"type": "end"}, {"status": "completed"}, {"done": True}, {"packets": 3}])
async def test_start_and_completion_are_known_by_their_places(
    start: dict[str, Any], completion: dict[str, Any]
) -> None:
    assert await completed_by(start, PCM, PCM, completion) == [PCM, PCM]


async def test_messages_on_the_way_do_not_complete() -> None:
    assert await completed_by(
        {"type": "start"}, {"type": "progress", "percent": 5}, PCM, {"type": "chunk"}, PCM, {"type": "done"}
    ) == [PCM, PCM]


async def test_audio_may_come_without_a_start_and_be_none_at_all() -> None:
    assert await completed_by(PCM, {"type": "done"}) == [PCM]
    assert await completed_by({"type": "start"}, {"type": "done"}) == []


async def test_without_a_completion_a_server_that_closes_has_finished(
    server: PiperServer, provider: PiperWsSynthesizer
) -> None:
    server.completes = False
    assert await spoken(provider) == await spoken(ScriptedSynthesizer(0.0))


# Failures.


@pytest.mark.parametrize(
    "error",
    [
        {"error": "as the test wants it"},
        {"type": "error", "message": "as the test wants it"},
        {"status": "error", "detail": "as the test wants it"},
        {"error": {"code": 400, "message": "as the test wants it"}},
    ],
)
@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_is_a_refusal(
    server: PiperServer, provider: PiperWsSynthesizer, error: dict[str, Any], after: int
) -> None:
    server.error, server.error_after = error, after
    pieces = provider.synthesize(TWICE, 8000)
    for _ in range(after):
        assert await anext(pieces)
    with pytest.raises(ProviderRejected, match="as the test wants it"):
        await anext(pieces)


async def test_an_error_that_repeats_what_was_to_be_spoken_is_left_out(
    server: PiperServer, provider: PiperWsSynthesizer
) -> None:
    server.error = {"error": f"cannot phonemize: {SENTENCE}"}
    with pytest.raises(ProviderRejected) as refused:
        await spoken(provider)
    assert SENTENCE not in str(refused.value)
    assert LEFT_OUT in str(refused.value)


async def test_a_long_error_is_told_in_short(server: PiperServer, provider: PiperWsSynthesizer) -> None:
    server.error = {"error": "Traceback " * 1000}
    with pytest.raises(ProviderRejected) as refused:
        await spoken(provider)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("status", "kind"), [(503, ProviderUnavailable), (403, ProviderRejected), (404, ProviderRejected)]
)
async def test_a_refused_connection_is_an_error_of_ours(
    server: PiperServer, provider: PiperWsSynthesizer, status: int, kind: type[ProviderError]
) -> None:
    server.refusal = status
    with pytest.raises(ProviderError, match=str(status)) as refused:
        await spoken(provider)
    assert type(refused.value) is kind


async def test_a_server_that_comes_back_at_once_was_hardly_away(server: PiperServer) -> None:
    provider = synthesizer(server, max_retries=10)
    await server.die()
    speaking = asyncio.create_task(spoken(provider))
    await asyncio.sleep(0.06)
    await server.start()
    assert await speaking
    await provider.close()


async def test_a_server_that_is_away_is_unavailable() -> None:
    provider = synthesizer(f"ws://127.0.0.1:{free_port()}/tts", max_retries=1)
    with pytest.raises(ProviderUnavailable):
        await spoken(provider)
    assert not provider.ready
    await provider.close()


async def test_a_server_that_never_answers_is_given_up(server: PiperServer) -> None:
    with silent_port() as port:
        provider = synthesizer(f"ws://127.0.0.1:{port}/tts", timeout=0.2)
        with pytest.raises(ProviderUnavailable):
            await spoken(provider)
        await provider.close()
    server.may_begin.clear()
    provider = synthesizer(server, timeout=0.2)
    with pytest.raises(ProviderTimeout):
        await spoken(provider)
    await provider.close()


async def test_a_server_that_stops_in_the_middle_times_out_with_what_came_so_far(server: PiperServer) -> None:
    provider = synthesizer(server, timeout=0.2)
    server.may_go_on.clear()
    pieces = provider.synthesize(TWICE, 8000)
    assert await anext(pieces)
    with pytest.raises(ProviderTimeout):
        await anext(pieces)
    await until(lambda: server.running == 0)
    await provider.close()


async def test_a_server_that_dies_in_the_middle_and_returns_is_used_again(
    server: PiperServer, provider: PiperWsSynthesizer
) -> None:
    await until(lambda: provider.ready)
    server.may_go_on.clear()
    pieces = provider.synthesize(TWICE, 8000)
    assert await anext(pieces)
    await server.die()
    with pytest.raises(ProviderUnavailable):
        await anext(pieces)
    await until(lambda: not provider.ready)
    server.may_go_on.set()
    await server.start()
    await until(lambda: provider.ready)
    assert await spoken(provider)


async def test_a_connection_that_is_cut_in_the_middle_has_failed(
    server: PiperServer, provider: PiperWsSynthesizer
) -> None:
    server.die_after = 2
    with pytest.raises(ProviderUnavailable):
        await spoken(provider, TWICE)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_early_closes_the_connection_and_so_stops_the_work(
    server: PiperServer, provider: PiperWsSynthesizer, how: str
) -> None:
    server.may_go_on.clear()
    pieces = provider.synthesize(TWICE, 8000)
    await anext(pieces)
    assert server.running == 1
    await leave(pieces, how)
    await until(lambda: server.running == 0)


async def test_pieces_come_before_the_server_has_completed(server: PiperServer, provider: PiperWsSynthesizer) -> None:
    server.rate_hz = 22050
    server.may_go_on.clear()
    pieces = provider.synthesize(TWICE, 8000)
    assert await anext(pieces)
    server.may_go_on.set()
    rest = [piece async for piece in pieces]
    assert all(len(piece) % 2 == 0 for piece in rest)
    assert seconds(b"".join(rest), 8000) > 2
