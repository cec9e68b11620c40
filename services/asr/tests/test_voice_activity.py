"""Silero as a stream: speech, no speech, and the same in pieces."""

import numpy as np
import pytest

from services.asr import voice_activity
from services.asr.engine import Samples
from services.asr.tests import speech
from services.asr.voice_activity import WINDOW, SileroModel, silero_path
from services.common.model_files import ModelMissing

pytestmark = pytest.mark.engine


def windows(samples: speech.Samples) -> Samples:
    count = len(samples) // WINDOW
    return (samples[: count * WINDOW].astype(np.float32) / np.float32(32768)).reshape(count, WINDOW)


def test_speech_is_likely_and_noise_is_not(silero: SileroModel) -> None:
    spoken = silero.stream().probabilities(windows(speech.spoken("Can I book a table for four?")))
    noise = silero.stream().probabilities(windows(speech.noisy(speech.silence(2.0), 0.0, 1)))
    assert np.mean(spoken > 0.5) > 0.6
    assert noise.max() < 0.4


def test_digital_silence_is_no_speech_and_costs_no_run(silero: SileroModel, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = silero.stream()
    monkeypatch.setattr(SileroModel, "run", None)
    assert stream.probabilities(windows(speech.silence(1.0))).max() == 0.0


def test_pieces_give_the_same_as_the_whole(silero: SileroModel) -> None:
    audio = windows(speech.spoken("Where are you located?"))
    whole = silero.stream().probabilities(audio)
    stream = silero.stream()
    pieces = np.concatenate([stream.probabilities(audio[start : start + 3]) for start in range(0, len(audio), 3)])
    np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_streams_do_not_mix(silero: SileroModel) -> None:
    audio = windows(speech.spoken("Where are you located?"))
    alone = silero.stream().probabilities(audio)
    one, other = silero.stream(), silero.stream()
    other.probabilities(audio[10:])
    np.testing.assert_allclose(one.probabilities(audio), alone, atol=1e-6)


def test_loading_twice_is_harmless(silero: SileroModel) -> None:
    silero.load()
    assert silero.stream().probabilities(windows(speech.silence(0.1))).max() == 0.0


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_activity, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match="uv sync --extra asr"):
        silero_path()
