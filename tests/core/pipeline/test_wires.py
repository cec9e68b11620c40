"""The conversation of every manner over the real wires: a Vosk server, and the service with an engine like Vosk."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from core.providers.asr.grpc import GrpcRecognizer
from core.providers.asr.vosk_ws import VoskWsRecognizer, VoskWsSettings
from core.providers.base import Recognizer
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.settings import AsrSettings, TtsSettings
from core.providers.tts.piper_ws import PiperWsSettings, PiperWsSynthesizer
from services.asr import settings as service_settings
from services.asr.engine import Engine, RecognitionOptions, Samples, Transcript
from services.asr.engines.vosk import Vosk
from services.asr.service import AsrService
from services.asr.tests.conftest import MODELS_DIR, steady_vosk_model
from services.asr.tests.fakes import ToneEngine
from services.asr.voice_activity import SileroModel
from services.common.lifecycle import Lifecycle
from services.common.testing import serving
from tests.core.pipeline.conftest import KNOWLEDGE, Place, Setup
from tests.support.standins.decoders import ScriptedDecoder
from tests.support.standins.piper_server import real as real_piper_server
from tests.support.standins.vosk_server import VoskServer, scripted, transcribing, whisper

HOURS, CARDS = (entry.answer for entry in KNOWLEDGE.entries)
QUESTIONS = ("When are you open?", "Can I pay by card?")


@pytest.fixture
def passing_time() -> None:
    """Really: what is on a wire between threads keeps no virtual time from passing."""


class VoskLike(ToneEngine):
    """Hears as it goes, cannot be asked twice, and reads the next of the lines in each utterance, always late."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__(name="vosk", repeatable=False, passes=2, interim_interval_s=0.2)
        self._lines = cycle(lines)

    def begin(self, options: RecognitionOptions) -> "VoskLikeRecognition":  # type: ignore[override]
        return VoskLikeRecognition(self._lines)


class VoskLikeRecognition:
    def __init__(self, lines: Iterator[str]) -> None:
        self._decoder = ScriptedDecoder(16000, lines)
        self._read: list[str] = []

    def accept(self, samples: Samples) -> None:
        for step in np.array_split(samples, max(1, len(samples) // 320)):
            self._decoder.AcceptWaveform((step * 32767).astype("<i2").tobytes())

    def interim(self, superseded: Callable[[], bool]) -> Transcript:
        return self._transcript(self._decoder.partial() if self._decoder.loud_s > 0.1 else "")

    def final(self) -> Transcript:
        return self._transcript(self._decoder.text() if self._decoder.loud_s > 0.1 else "")

    def _transcript(self, text: str) -> Transcript:
        return Transcript(text, confidence=0.9 if text else 0.0)


@contextlib.asynccontextmanager
async def service(engine: Engine, **settings: str) -> AsyncIterator[Recognizer]:
    lifecycle = Lifecycle()
    options = service_settings.AsrSettings(engine="vosk", **settings)  # type: ignore[arg-type]
    silero = SileroModel()
    silero.load()
    running = AsrService(engine, silero, options, lifecycle, CollectorRegistry())
    async with serving(running, lifecycle=lifecycle) as server:
        provider = GrpcRecognizer(AsrSettings(host="127.0.0.1", port=server.port))
        yield provider
        await provider.close()


@contextlib.asynccontextmanager
async def vosk_like_service(lines: tuple[str, ...]) -> AsyncIterator[Recognizer]:
    async with service(VoskLike(lines)) as provider:
        yield provider


@contextlib.asynccontextmanager
async def vosk_server(lines: tuple[str, ...]) -> AsyncIterator[Recognizer]:
    async with VoskServer(scripted(lines)) as server:
        provider = VoskWsRecognizer(AsrSettings(), VoskWsSettings(url=server.url))
        yield provider
        await provider.close()


Over = Callable[[tuple[str, ...]], AbstractAsyncContextManager[Recognizer]]
OVER = pytest.mark.parametrize("over", [vosk_like_service, vosk_server])
# The service reads no more once the caller pauses: of an engine that hears late, the last words come at the end.
LONGEST_ENDPOINT_MS: dict[Over, int] = {vosk_like_service: 1400, vosk_server: 1000}


@OVER
async def test_a_question_is_answered_and_the_answer_interrupted_by_another(over: Over, place: Place) -> None:
    async with over(QUESTIONS) as recognizer:
        talk = await place(Setup(recognizer=recognizer))
        await talk.heard_out(0)
        talk.say(QUESTIONS[0])
        first = await talk.turn(1)
        await talk.until(lambda: talk.caller.leg.played_ms > 2500)
        talk.say(QUESTIONS[1])
        interrupted = await talk.heard_out(1)
        answer = await talk.heard_out(2)
        talk.caller.hang_up()
        await talk.end()

    assert (first.heard, first.said) == (QUESTIONS[0], HOURS)
    assert 350 < first.stages_ms()["endpoint"] < LONGEST_ENDPOINT_MS[over]
    assert interrupted.interrupted
    assert HOURS.startswith(interrupted.spoken)
    assert len(interrupted.spoken) < len(HOURS)
    assert (answer.heard, answer.said) == (QUESTIONS[1], CARDS)


@OVER
async def test_after_a_cough_the_agent_goes_on(over: Over, place: Place) -> None:
    async with over((QUESTIONS[0], "")) as recognizer:
        talk = await place(Setup(recognizer=recognizer))
        await talk.heard_out(0)
        talk.say(QUESTIONS[0])
        await talk.turn(1)
        await talk.until(lambda: talk.caller.leg.played_ms > 2500)
        talk.say("Hm, hm.")
        await talk.heard_out(2)
        talk.caller.hang_up()
        await talk.end()

    [_, first, second] = talk.record.turns
    assert first.interrupted
    assert f"{first.spoken} {second.spoken}" == HOURS


@pytest.mark.engine
async def test_kaldi_behind_the_service_drives_the_turns(place: Place) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = str(steady_vosk_model(Path(folder)))
        engine = Vosk(service_settings.AsrSettings(engine="vosk", model=model, language="ko"), MODELS_DIR)
        async with service(engine, model=model, language="ko") as recognizer:
            talk = await place(Setup(recognizer=recognizer, generator=ScriptedGenerator("Blue.", 0.005)))
            await talk.heard_out(0)
            talk.say("Hello. How are you?")
            turn = await talk.heard_out(1)
            talk.caller.hang_up()
            await talk.end()
    # The model hears Korean in it, but hears.
    assert turn.heard
    assert turn.spoken == "Blue."
    assert len(talk.record.turns) == 2


@pytest.mark.slow
@pytest.mark.engine
async def test_a_call_in_english_over_the_vosk_and_piper_wires(place: Place) -> None:
    async with VoskServer(transcribing(whisper())) as listening, real_piper_server() as speaking:
        recognizer = VoskWsRecognizer(AsrSettings(), VoskWsSettings(url=listening.url))
        synthesizer = PiperWsSynthesizer(TtsSettings(), PiperWsSettings(url=speaking.url))
        talk = await place(Setup(recognizer=recognizer, synthesizer=synthesizer))
        await talk.heard_out(0)
        talk.say(QUESTIONS[0])
        await talk.turn(1)
        await talk.until(lambda: talk.caller.leg.played_ms > 2500)
        talk.say(QUESTIONS[0])
        await talk.turn(2)
        talk.caller.hang_up()
        await talk.end()
        await recognizer.close()
        await synthesizer.close()
    heard = [turn.heard for turn in talk.record.turns]
    assert [turn.said for turn in talk.record.turns] == ["Hello.", HOURS, HOURS], heard
    assert talk.record.turns[1].interrupted
