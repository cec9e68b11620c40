"""Whisper with its packaged model: telephone speech, its options, and models that cannot be used."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from services.asr.engine import SAMPLE_RATE_HZ, RecognitionOptions, Samples
from services.asr.engines.faster_whisper import FasterWhisper, quietest
from services.asr.engines.whisper_window import FULL
from services.asr.resample import Upsampler
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.tests.conftest import MODELS_DIR
from services.common.model_files import ModelBroken, ModelMissing

pytestmark = pytest.mark.engine

QUESTION = "What time do you open on Sunday?"


def telephone(text: str) -> Samples:
    line = speech.mu_law(speech.spoken(text, 8000))
    return Upsampler().feed(line.astype(np.float32) / np.float32(32768))


def test_question_over_the_telephone_is_understood(whisper: FasterWhisper) -> None:
    transcript = whisper.read(telephone(QUESTION), RecognitionOptions())
    assert transcript.text == QUESTION
    assert transcript.confidence > 0.6
    assert transcript.no_speech_probability < 0.4


def test_full_window_reads_the_same(whisper: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_window", FULL)
    assert whisper.read(telephone(QUESTION), RecognitionOptions()).text == QUESTION


def test_doubtful_reading_is_made_again_in_full(whisper: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> None:
    before = whisper.read_twice
    whisper.read(telephone(QUESTION), RecognitionOptions())
    assert whisper.read_twice == before
    monkeypatch.setattr(whisper, "_settings", AsrSettings(doubt_below=0.0))
    assert whisper.read(telephone(QUESTION), RecognitionOptions()).text == QUESTION
    assert whisper.read_twice == before + 1


def test_phrases_of_the_business_are_understood(whisper: FasterWhisper) -> None:
    samples = telephone("Do you have a margherita with burrata?")
    assert "burrata" not in whisper.read(samples, RecognitionOptions()).text.lower()
    hinted = whisper.read(samples, RecognitionOptions(phrases=("margherita", "burrata", "Bella Pizza")))
    assert "burrata" in hinted.text.lower()


def test_speech_longer_than_the_window_is_read_piece_by_piece(whisper: FasterWhisper) -> None:
    sentence = telephone("I ordered a pizza an hour ago and it still has not arrived.")
    recognition = whisper.begin(RecognitionOptions(words=True))
    for _ in range(6):
        recognition.accept(np.concatenate((sentence, np.zeros(SAMPLE_RATE_HZ // 2, np.float32))))
    interim = recognition.interim(lambda: False)
    final = recognition.final()
    assert interim is not None
    assert final.text.count("pizza") == 6
    times = [word.start_s for word in final.words]
    assert times == sorted(times)
    assert times[-1] > 5 * len(sentence) / SAMPLE_RATE_HZ


def test_superseded_reading_is_given_up(whisper: FasterWhisper) -> None:
    recognition = whisper.begin(RecognitionOptions())
    recognition.accept(telephone(QUESTION))
    assert recognition.interim(lambda: True) is None


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(10, np.float32)])
def test_next_to_nothing_can_be_read(whisper: FasterWhisper, samples: Samples) -> None:
    recognition = whisper.begin(RecognitionOptions())
    recognition.accept(samples)
    assert recognition.final().confidence <= 1.0


def test_languages_are_known_by_their_first_part(whisper: FasterWhisper) -> None:
    whisper.check(RecognitionOptions(language="en-US"))
    with pytest.raises(ValueError, match="'de-DE'"):
        whisper.check(RecognitionOptions(language="de-DE"))


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    loud = np.full(16 * SAMPLE_RATE_HZ, 0.5, np.float32)
    quiet_at = int(12.34 * SAMPLE_RATE_HZ)
    loud[quiet_at - 2000 : quiet_at + 2000] = 0.0
    assert quietest(loud) == pytest.approx(quiet_at, abs=2000)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    for each in {"model.bin", "config.json", "tokenizer.json"} - {name}:
        (tmp_path / each).write_bytes(b"{}")
    with pytest.raises(ModelMissing, match=name):
        FasterWhisper(AsrSettings(model=str(tmp_path)), MODELS_DIR).load()


def test_unknown_model_says_where_it_was_looked_for() -> None:
    with pytest.raises(ModelMissing, match="oavc models"):
        FasterWhisper(AsrSettings(model="whisper-of-nobody"), MODELS_DIR).load()


def test_model_cut_short_is_broken(tmp_path: Path, whisper: FasterWhisper) -> None:
    model = tmp_path / "model"
    shutil.copytree(whisper.model, model)
    weights = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelBroken, match="model"):
        FasterWhisper(AsrSettings(model=str(model)), MODELS_DIR).load()
