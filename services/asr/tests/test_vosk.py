"""Vosk with a real Kaldi model, a Korean one: the only one that comes as a package."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from services.asr.engine import RecognitionOptions
from services.asr.engines.vosk import Vosk, VoskRecognition, parsed
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.tests.conftest import MODELS_DIR, Lent, Serve
from services.asr.voice_activity import SileroModel
from services.common.model_files import ModelBroken, ModelMissing


@pytest.mark.engine
def test_silence_gives_no_text(vosk: Vosk) -> None:
    recognition = vosk.begin(RecognitionOptions())
    for _ in range(5):
        recognition.accept(np.zeros(1600, np.float32))
    interim = recognition.interim(lambda: False)
    assert interim is not None
    assert interim.text == ""
    assert recognition.final().text == ""


@pytest.mark.engine
def test_partial_results_grow(vosk: Vosk) -> None:
    samples = speech.spoken("Hello. How are you?").astype(np.float32) / np.float32(32768)
    recognition = vosk.begin(RecognitionOptions())
    lengths = []
    for start in range(0, len(samples), 4000):
        recognition.accept(samples[start : start + 4000])
        interim = recognition.interim(lambda: False)
        assert interim is not None
        lengths.append(len(interim.text))
    assert lengths[-1] > lengths[0]
    assert len(set(lengths)) > 2


class EndpointingDecoder:
    """Kaldi's side where it sees an end of an utterance of its own after each piece."""

    def __init__(self) -> None:
        self._texts = iter(("good", "", "day"))

    def AcceptWaveform(self, pcm: bytes) -> bool:  # noqa: N802
        return True

    def Result(self) -> str:  # noqa: N802
        return json.dumps({"text": next(self._texts)})

    def PartialResult(self) -> str:  # noqa: N802
        return json.dumps({"partial": "and"})

    def FinalResult(self) -> str:  # noqa: N802
        return json.dumps({"text": "sir"})


def test_words_before_kaldis_own_endpoints_are_kept() -> None:
    recognition = VoskRecognition(EndpointingDecoder(), RecognitionOptions())
    for _ in range(3):
        recognition.accept(np.zeros(160, np.float32))
    interim = recognition.interim(lambda: False)
    assert interim is not None
    assert interim.text == "good day and"
    assert recognition.final().text == "good day sir"


@pytest.mark.engine
async def test_stream_through_the_service(vosk: Vosk, silero: SileroModel, serve: Serve) -> None:
    settings = AsrSettings(engine="vosk", language="ko")
    async with serve(Lent(vosk), settings, silero) as client:  # type: ignore[arg-type]
        stream = await client.stream(sample_rate=8000, interim_results=True, client_endpointing=True)
        line = speech.mu_law(np.concatenate((speech.spoken("Hello. How are you?", 8000), speech.silence(0.3, 8000))))
        await stream.say(line.tobytes(), chunk_size=320)
        stable = await stream.stable()
        await stream.finalize()
        final = await stream.final()
        assert stable.result.text
        assert final.result.text
        assert 0 < final.result.confidence <= 1


@pytest.mark.engine
@pytest.mark.parametrize("text", ["Yes please.", "Thank you, goodbye."])
async def test_stable_words_are_those_of_the_final(vosk: Vosk, silero: SileroModel, serve: Serve, text: str) -> None:
    async with serve(Lent(vosk), AsrSettings(engine="vosk", language="ko"), silero) as client:  # type: ignore[arg-type]
        stream = await client.stream(sample_rate=16_000, interim_results=True, client_endpointing=True)
        # As long as core waits where the words seem complete.
        line = np.concatenate((speech.spoken(text), speech.silence(0.4)))
        await stream.say(line.astype("<i2").tobytes(), chunk_size=640)
        stable = await stream.stable()
        await stream.finalize()
        assert stable.result.text == (await stream.final()).result.text


def test_language_of_the_settings_is_the_models() -> None:
    engine = Vosk(AsrSettings(engine="vosk", language="ko"), MODELS_DIR)
    engine.check(RecognitionOptions(language="ko-KR"))
    Vosk(AsrSettings(engine="vosk"), MODELS_DIR).check(RecognitionOptions(language="ko-KR"))


def test_missing_english_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelMissing, match=r"oavc models fetch vosk-model-small-en-us-0\.15"):
        Vosk(AsrSettings(engine="vosk"), MODELS_DIR).load()


def test_folder_that_is_no_model_is_missing_its_files(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"am/final\.mdl"):
        Vosk(AsrSettings(engine="vosk", model=str(tmp_path)), MODELS_DIR).load()


@pytest.mark.engine
def test_model_without_its_graph_is_broken(tmp_path: Path, vosk: Vosk) -> None:
    model = tmp_path / "model"
    shutil.copytree(vosk.model, model, ignore=shutil.ignore_patterns("*.fst"))
    with pytest.raises(ModelBroken, match="oavc models fetch"):
        Vosk(AsrSettings(engine="vosk", model=str(model)), MODELS_DIR).load()


def test_result_with_alternatives_is_parsed() -> None:
    words = [{"word": "good", "start": 0.1, "end": 0.4}, {"word": "day", "start": 0.5, "end": 0.8}]
    result = {"alternatives": [{"text": " good day", "confidence": 212.5, "result": words}, {"text": "good they"}]}
    transcript = parsed(json.dumps(result), words=True)
    assert transcript.text == "good day"
    assert transcript.confidence == 1.0
    assert [each.text for each in transcript.alternatives] == ["good they"]
    assert [(word.text, word.start_s) for word in transcript.words] == [("good", 0.1), ("day", 0.5)]


def test_empty_result_is_an_empty_transcript() -> None:
    assert parsed('{"text": ""}', words=True).text == ""
