"""What every engine promises, kept by the fake and by the real ones."""

import numpy as np
import pytest

from services.asr.engine import SAMPLE_RATE_HZ, Engine, RecognitionOptions, Samples, Transcript, UnsupportedOption
from services.asr.engines.registry import ENGINE_NAMES, create_engine
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.tests.conftest import MODELS_DIR
from services.asr.tests.fakes import said


def tones() -> Samples:
    return np.frombuffer(said("hello", "book", "table"), "<i2").astype(np.float32) / np.float32(32768)


def voice() -> Samples:
    # Short, for Kaldi takes half a second of a core for a second of speech.
    samples = speech.spoken("Hello. How are you?")
    return samples.astype(np.float32) / np.float32(32768)


@pytest.fixture(
    params=[
        pytest.param(("engine", tones), id="tones"),
        pytest.param(("whisper", voice), id="faster_whisper", marks=pytest.mark.engine),
        pytest.param(("vosk", voice), id="vosk", marks=pytest.mark.engine),
    ]
)
def case(request: pytest.FixtureRequest) -> tuple[Engine, Samples]:
    name, utterance = request.param
    return request.getfixturevalue(name), utterance()


def never() -> bool:
    return False


_transcripts: dict[tuple[str, int], Transcript] = {}


def read(engine: Engine, samples: Samples, step: int) -> Transcript:
    """The final of the audio given in such pieces, made once: Kaldi takes its time."""
    if (engine.name, step) not in _transcripts:
        recognition = engine.begin(RecognitionOptions())
        for start in range(0, len(samples), step):
            recognition.accept(samples[start : start + step])
        _transcripts[engine.name, step] = recognition.final()
    return _transcripts[engine.name, step]


def test_speech_becomes_text_without_words_nobody_asked_for(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    transcript = read(engine, samples, len(samples) // 2)
    assert transcript.text.strip()
    assert transcript.words == ()
    assert transcript.alternatives == ()


def test_text_does_not_depend_on_the_pieces(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    assert read(engine, samples, 3200).text == read(engine, samples, len(samples) // 2).text


def test_interim_readings_come_before_the_final(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    recognition = engine.begin(RecognitionOptions())
    recognition.accept(samples[: len(samples) * 2 // 3])
    interim = recognition.interim(never)
    assert interim is not None
    assert interim.text
    recognition.accept(samples[len(samples) * 2 // 3 :])
    assert recognition.final().text


def test_repeatable_engine_reads_the_same_twice(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    if not engine.repeatable:
        return
    recognition = engine.begin(RecognitionOptions())
    recognition.accept(samples)
    first = recognition.final()
    recognition.accept(np.zeros(1600, np.float32))
    assert recognition.final().text == first.text


def test_words_are_in_order_and_inside_the_audio(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    recognition = engine.begin(RecognitionOptions(words=True))
    recognition.accept(samples)
    words = recognition.final().words
    assert words
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(samples) / SAMPLE_RATE_HZ + 0.1
    assert all(0 <= word.confidence <= 1 for word in words)


def test_alternatives_are_as_many_as_asked_for_at_most(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    recognition = engine.begin(RecognitionOptions(alternatives=2))
    recognition.accept(samples)
    transcript = recognition.final()
    assert transcript.text
    assert len(transcript.alternatives) <= 2


def test_recognitions_do_not_mix(case: tuple[Engine, Samples]) -> None:
    engine, samples = case
    half = len(samples) // 2
    alone = read(engine, samples, half).text
    spoken, other = engine.begin(RecognitionOptions()), engine.begin(RecognitionOptions())
    spoken.accept(samples[:half])
    other.accept(samples[half:])
    spoken.accept(samples[half:])
    assert spoken.final().text == alone
    other.final()


def test_unknown_language_is_unsupported(case: tuple[Engine, Samples]) -> None:
    engine, _ = case
    with pytest.raises(UnsupportedOption, match="tlh"):
        engine.check(RecognitionOptions(language="tlh"))


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_registry_makes_the_engine_the_settings_name(name: str) -> None:
    engine = create_engine(AsrSettings.model_validate({"engine": name}), MODELS_DIR)
    assert engine.name == name


def test_registry_knows_no_other_engine() -> None:
    with pytest.raises(LookupError, match="faster_whisper, vosk"):
        create_engine(AsrSettings.model_construct(engine="dictaphone"), MODELS_DIR)
