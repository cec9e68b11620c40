"""What every engine does, whatever it is."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.tts.engine import ENGINES, Engine, EngineSettings, UnknownVoiceError, make_engine
from services.tts.loudness import fit
from services.tts.tests.tone_engine import ANNA, ToneEngine

VOICES = {"tone": ANNA.name, "piper": "en_US-joe-medium"}


@pytest.fixture(scope="module", params=["tone", *(pytest.param(name, marks=pytest.mark.engine) for name in ENGINES)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name: str = request.param
    engine = ToneEngine() if name == "tone" else make_engine(name, EngineSettings(models_dir=Path("models")))
    engine.load(VOICES[name])
    yield engine
    engine.close()
    engine.close()


@pytest.fixture
def voice(engine: Engine) -> str:
    return VOICES[engine.name]


def test_its_voice_is_among_those_installed(engine: Engine, voice: str) -> None:
    assert engine.voice(voice) in engine.voices()
    assert engine.voice(voice).language == "en_US"
    assert engine.voice(voice).display_name


@pytest.mark.parametrize("name", ["nobody", "", "../models", "/etc/hostname"])
def test_an_unknown_voice_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(UnknownVoiceError, match="unknown voice"):
        engine.voice(name)


def test_speech_is_mono_float_within_range(engine: Engine, voice: str) -> None:
    waveform = engine.render("We open at eleven today.", voice, 1.0)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert 0.1 < np.max(np.abs(waveform)) <= 1.0
    assert 0.8 < waveform.size / engine.voice(voice).sample_rate_hz < 3.0


def test_longer_text_takes_longer(engine: Engine, voice: str) -> None:
    short = engine.render("Yes.", voice, 1.0)
    long = engine.render("Yes, we are open today from nine to five.", voice, 1.0)
    assert long.size > 2 * short.size


def test_the_speaking_rate_changes_the_length(engine: Engine, voice: str) -> None:
    slow, fast = (
        fit(engine.render("We are open today.", voice, rate), engine.voice(voice).sample_rate_hz) for rate in (0.5, 2.0)
    )
    assert slow.size > 2 * fast.size


@pytest.mark.parametrize("text", ["", "...", "?"])
def test_text_without_words_is_no_failure(engine: Engine, voice: str, text: str) -> None:
    assert engine.render(text, voice, 1.0).size < engine.voice(voice).sample_rate_hz


def test_several_threads_may_render_at_once(engine: Engine, voice: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        rendered = list(threads.map(lambda text: engine.render(text, voice, 1.0).size, ["Yes.", "Of course.", "No."]))
    assert all(size > 2000 for size in rendered)


def test_it_speaks_on_after_a_rest(engine: Engine, voice: str) -> None:
    engine.rest()
    assert engine.render("Yes.", voice, 1.0).size > 2000
