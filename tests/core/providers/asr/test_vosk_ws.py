"""What is Vosk's own: whose endpoints are whose, how the last words are had, and servers old, new, slow and dying."""

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.asr import vosk_utterance, vosk_ws
from core.providers.asr.vosk_utterance import text_of
from core.providers.asr.vosk_ws import VoskWsRecognizer, VoskWsSettings
from core.providers.settings import AsrSettings
from services.asr.tests.conftest import steady_vosk_model
from tests.contract.backend import WAIT_S, free_port, silent_port, until
from tests.contract.test_asr_providers import Listening, failure_of, send_on_and_on
from tests.support.standins.decoders import Decoder, MakeDecoder
from tests.support.standins.vosk_server import VoskServer, kaldi, scripted, transcribing
from tests.support.voices import speech

RATE_HZ = 8000
LINES = ["I would like a table", "for four people"]
LONG_PAUSE_S, SHORT_PAUSE_S = 0.7, 0.2


def recognizer(server: VoskServer | str, timeout_s: float = 5.0, **own: Any) -> VoskWsRecognizer:
    url = server if isinstance(server, str) else server.url
    return VoskWsRecognizer(AsrSettings(timeout=timeout_s), VoskWsSettings(url=url, **own))


@pytest.fixture
async def server() -> AsyncIterator[VoskServer]:
    async with VoskServer(scripted(LINES)) as server:
        yield server


@pytest.fixture
async def provider(server: VoskServer) -> AsyncIterator[VoskWsRecognizer]:
    provider = recognizer(server)
    yield provider
    await provider.close()


async def listen(provider: VoskWsRecognizer) -> Listening:
    return Listening(await provider.open(RATE_HZ, ["Riverside"]), RATE_HZ)


# Which words, and when.


async def test_utterances_that_the_server_ended_are_stable_and_come_together_in_the_final(
    provider: VoskWsRecognizer,
) -> None:
    listening = await listen(provider)
    await listening.say(pause_s=LONG_PAUSE_S)
    first = await listening.stable()
    await listening.say(pause_s=LONG_PAUSE_S)
    await until(lambda: [each for each in listening.heard if each.is_stable][-1] is not first)
    assert (await listening.final(1)).text == " ".join(LINES)
    assert [each.text for each in listening.heard if each.is_stable] == [LINES[0], " ".join(LINES)]
    await listening.end()


async def test_words_that_were_only_guessed_so_far_are_in_the_final(provider: VoskWsRecognizer) -> None:
    listening = await listen(provider)
    await listening.say(pause_s=SHORT_PAUSE_S)
    await until(lambda: listening.heard)
    final = await listening.final(1)
    assert final.text == LINES[0]
    assert final.processing_ms > 0
    assert not [each for each in listening.heard if each.is_stable]
    guesses = [each.text for each in listening.heard[:-1]]
    assert all(LINES[0].startswith(guess) for guess in guesses)
    await listening.end()


async def test_the_words_of_a_turn_do_not_come_again_in_the_next(provider: VoskWsRecognizer) -> None:
    listening = await listen(provider)
    await listening.say(pause_s=LONG_PAUSE_S)
    await listening.final(1)
    await listening.say(pause_s=SHORT_PAUSE_S)
    assert (await listening.final(2)).text == LINES[1]
    await listening.end()


async def test_guesses_of_a_server_that_keeps_up_are_current(provider: VoskWsRecognizer) -> None:
    listening = await listen(provider)
    pcm = speech("When are you open?") + bytes(2 * RATE_HZ // 5)
    for start in range(0, len(pcm), 960):
        await listening.stream.send(pcm[start : start + 960])
        await asyncio.sleep(0.01)
    await until(lambda: any(each.is_current for each in listening.heard))
    await listening.end()


async def test_guesses_of_a_server_that_is_behind_are_not_current(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    listening = await listen(provider)
    server.may_read.clear()
    await listening.say(pause_s=SHORT_PAUSE_S)
    server.may_read.set()
    await until(lambda: listening.heard)
    assert not listening.heard[0].is_current
    await listening.end()


@pytest.mark.parametrize("pause_s", [LONG_PAUSE_S, SHORT_PAUSE_S])
async def test_what_the_model_hears_in_a_cough_is_nothing(pause_s: float) -> None:
    async with VoskServer(scripted(["huh the"])) as server:
        provider = recognizer(server)
        listening = await listen(provider)
        await listening.say("Hm, hm.", pause_s=pause_s)
        final = await listening.final(1)
        assert (final.text, final.rejected_reason) == ("", "noise")
        assert listening.heard == [final]
        await listening.end()
        await provider.close()


async def test_a_word_heard_in_noise_is_kept_among_others_and_dropped_between_utterances() -> None:
    async with VoskServer(scripted(["the", "the shop", "the"])) as server:
        provider = recognizer(server)
        listening = await listen(provider)
        for _ in range(3):
            await listening.say(pause_s=LONG_PAUSE_S)
        assert (await listening.final(1)).text == "the shop"
        await listening.end()
        await provider.close()


# What is said to the server.


async def test_the_config_names_the_rate_and_asks_for_nothing_that_is_not_used(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    listening = await listen(provider)
    assert server.configs == [{"sample_rate": RATE_HZ, "words": False, "max_alternatives": 0}]
    await listening.end()


async def test_a_phrase_list_is_sent_where_the_operator_wants_only_these(server: VoskServer) -> None:
    provider = recognizer(server, phrase_list=("yes", "no"))
    listening = await listen(provider)
    assert server.configs[0]["phrase_list"] == ["yes", "no"]
    await listening.end()
    await provider.close()


async def test_a_call_has_one_connection_where_the_server_knows_resets(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    listening = await listen(provider)
    for utterance_id in range(3):
        await listening.final(utterance_id)
    assert (len(server.configs), server.eofs, server.resets) == (1, 0, 4)
    await listening.end()
    await until(lambda: not server.running)


@pytest.mark.parametrize("in_cpp", [False, True])
async def test_older_servers_get_a_connection_for_each_utterance(server: VoskServer, in_cpp: bool) -> None:
    server.knows_reset = False
    server.takes_config_for_audio = in_cpp
    provider = recognizer(server)
    listening = await listen(provider)
    for utterance_id, line in enumerate(LINES):
        await listening.say(pause_s=SHORT_PAUSE_S)
        assert (await listening.final(utterance_id)).text == line
    assert server.eofs == 2
    # Asked about the reset, then one for each utterance, the one to come included.
    await until(lambda: len(server.configs) == 4)
    configs = len(server.configs)
    again = await listen(provider)
    # That it knows no reset is found out once.
    await until(lambda: len(server.configs) == configs + 1)
    await again.end()
    await listening.end()
    await provider.close()
    await until(lambda: not server.running)


async def test_a_server_that_is_busy_once_is_not_taken_for_an_older_one(
    server: VoskServer, provider: VoskWsRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vosk_ws, "RESET_TIMEOUT_S", 0.05)
    server.may_read.clear()
    first = await listen(provider)
    server.may_read.set()
    monkeypatch.setattr(vosk_ws, "RESET_TIMEOUT_S", WAIT_S)
    monkeypatch.setattr(provider, "_ask_from_s", 0.0, raising=False)
    second = await listen(provider)
    for utterance_id in range(2):
        await second.final(utterance_id)
    assert server.eofs == 0
    await first.end()
    await second.end()


async def test_a_busy_server_is_not_asked_for_each_utterance(
    server: VoskServer, provider: VoskWsRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vosk_ws, "RESET_TIMEOUT_S", 0.05)
    server.may_read.clear()
    listening = await listen(provider)
    server.may_read.set()
    for utterance_id in range(2):
        await listening.final(utterance_id)
    assert server.eofs == 2
    await listening.end()


async def test_audio_said_while_the_last_words_are_read_belongs_to_the_next_utterance(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    listening = await listen(provider)
    await listening.say(pause_s=SHORT_PAUSE_S)
    server.may_answer_end.clear()
    await listening.stream.finalize(1)
    await listening.say(pause_s=SHORT_PAUSE_S)
    await listening.stream.finalize(2)
    server.may_answer_end.set()
    await until(lambda: len([each for each in listening.heard if each.is_final]) == 2)
    assert [each.text for each in listening.heard if each.is_final] == LINES
    await listening.end()


# Replies.


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"result": [{"conf": 1.0, "start": 0.1, "end": 0.3, "word": "yes"}], "text": "yes"}, "yes"),
        ({"alternatives": [{"confidence": 212.5, "text": " yes"}, {"confidence": 200.1, "text": "yet"}]}, "yes"),
        ({"text": "[unk]"}, ""),
        ({"text": "yes [unk] please"}, "yes please"),
        ({"text": None}, ""),
        ({"partial": "yes"}, None),
        ({"alternatives": []}, None),
        ({}, None),
    ],
)
def test_a_reply_has_a_text_in_either_form(fields: dict[str, Any], text: str | None) -> None:
    assert text_of(fields) == text


class _Garbling:
    """Answers what is not JSON, or no reply, before it says something."""

    replies: tuple[str, ...] = ("", "null", "[1]", "{", '{"partial" : 3}')

    def __init__(self) -> None:
        self._left = list(self.replies)

    def AcceptWaveform(self, pcm: bytes) -> bool:  # noqa: N802
        return False

    def PartialResult(self) -> str:  # noqa: N802
        return self._left.pop() if self._left else '{"partial" : "yes"}'

    def Result(self) -> str:  # noqa: N802
        return '{"text" : "yes"}'

    FinalResult = Result


async def test_replies_that_make_no_sense_are_passed_over() -> None:
    make: MakeDecoder = lambda _rate, _phrases: _Garbling()  # noqa: E731
    async with VoskServer(make) as server:
        provider = recognizer(server)
        listening = await listen(provider)
        await listening.say()
        assert (await listening.final(1)).text == "yes"
        await listening.end()
        await provider.close()


# Failures.


@pytest.mark.parametrize(
    ("status", "kind"), [(503, ProviderUnavailable), (429, ProviderUnavailable), (404, ProviderRejected)]
)
async def test_a_refused_connection_is_an_error_of_ours(
    server: VoskServer, provider: VoskWsRecognizer, status: int, kind: type[ProviderError]
) -> None:
    await until(lambda: provider.ready)
    server.refusal = status
    error = await failure_of(provider)
    assert type(error) is kind
    assert str(status) in str(error)
    await until(lambda: not provider.ready)


async def test_a_server_that_is_away_is_unavailable() -> None:
    provider = recognizer(f"ws://127.0.0.1:{free_port()}")
    assert type(await failure_of(provider)) is ProviderUnavailable
    assert not provider.ready
    await provider.close()


async def test_a_server_that_accepts_and_never_answers_is_given_up() -> None:
    with silent_port() as port:
        provider = recognizer(f"ws://127.0.0.1:{port}", timeout_s=0.2)
        assert type(await failure_of(provider)) is ProviderUnavailable
        await provider.close()


async def test_a_server_that_dies_in_the_middle_and_returns_is_used_again(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    await until(lambda: provider.ready)
    listening = await listen(provider)
    await listening.say()
    await listening.stable()
    await server.die()
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(listening.reading, WAIT_S)
    await until(lambda: not provider.ready)
    with pytest.raises(ProviderUnavailable, match="has broken"):
        await send_on_and_on(listening.stream, 320)
    await listening.stream.close()

    await server.start()
    await until(lambda: provider.ready)
    again = await listen(provider)
    await again.say()
    assert (await again.final(1)).text
    await again.end()


@pytest.mark.parametrize("how", ["die_after", "end_after"])
async def test_a_connection_that_ends_within_an_utterance_has_failed(
    server: VoskServer, provider: VoskWsRecognizer, how: str
) -> None:
    listening = await listen(provider)
    setattr(server, how, 5)
    with pytest.raises(ProviderUnavailable):
        await send_on_and_on(listening.stream, 320)
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(listening.reading, WAIT_S)
    await listening.stream.close()


async def test_last_words_that_do_not_come_are_those_that_were_guessed(
    server: VoskServer, provider: VoskWsRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vosk_utterance, "FINAL_TIMEOUT_S", 0.3)
    listening = await listen(provider)
    await listening.say(pause_s=0.4)
    await until(lambda: listening.heard and listening.heard[-1].text == LINES[0])
    server.may_answer_end.clear()
    final = await listening.final(1)
    assert (final.text, final.is_final) == (LINES[0], True)
    with pytest.raises(ProviderTimeout):
        await asyncio.wait_for(listening.reading, WAIT_S)
    server.may_answer_end.set()
    await listening.stream.close()


async def test_a_server_that_does_not_keep_up_is_unavailable_rather_than_filling_memory(
    server: VoskServer, provider: VoskWsRecognizer
) -> None:
    listening = await listen(provider)
    server.may_read.clear()
    with pytest.raises(ProviderUnavailable, match="keep up"):
        await send_on_and_on(listening.stream, 16_000)
    server.may_read.set()
    await listening.end()


async def test_a_closed_provider_opens_nothing(server: VoskServer) -> None:
    provider = recognizer(server)
    await provider.close()
    assert type(await failure_of(provider)) is ProviderUnavailable


# With real recognisers at the other end.


@functools.cache
def korean() -> MakeDecoder:
    return kaldi(steady_vosk_model(Path(tempfile.mkdtemp())))


async def heard_by(make: MakeDecoder) -> str:
    async with VoskServer(make) as server:
        provider = recognizer(server)
        listening = await listen(provider)
        await listening.say("Hello. How are you?")
        final = await listening.final(1)
        await listening.end()
        await provider.close()
        return final.text


@pytest.mark.engine
async def test_kaldi_is_heard_to_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    # All the audio comes at once here, and the machine may be busy.
    monkeypatch.setattr(vosk_utterance, "FINAL_TIMEOUT_S", 30.0)
    decoder: Decoder = korean()(RATE_HZ, None)
    pcm = speech("Hello. How are you?") + bytes(2 * int(RATE_HZ * 0.6))
    decoder.AcceptWaveform(pcm)
    assert await heard_by(korean()) == text_of(vosk_utterance.parsed(decoder.FinalResult()))


async def test_any_recogniser_of_whole_utterances_can_stand_behind_the_wire() -> None:
    lengths_s: list[float] = []

    def transcribe(pcm: bytes, rate_hz: int) -> str:
        lengths_s.append(len(pcm) / 2 / rate_hz)
        return "hello how are you"

    assert await heard_by(transcribing(transcribe)) == "hello how are you"
    assert 0.8 < max(lengths_s) < 3.0
