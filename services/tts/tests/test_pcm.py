"""From the voice's rate to the line's, as 16-bit PCM."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.tts.pcm import duration_s, silence, to_pcm
from services.tts.tests.factories import samples


def tone(hz: float, rate_hz: int, seconds: float = 0.5) -> NDArray[np.float32]:
    waveform = 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)
    return waveform.astype(np.float32)


def level_db(signal: NDArray[np.float64]) -> float:
    """RMS of the middle, so that what the ends of a tone spread is left out."""
    middle = signal[signal.size // 4 : -signal.size // 4]
    return 20 * float(np.log10(np.sqrt(np.mean(middle**2)) + 1e-9))


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22050, 8000), (22050, 16000), (16000, 8000)])
@pytest.mark.parametrize("above", [1.1, 1.2])
def test_what_lies_above_half_the_rate_is_gone(from_hz: int, to_hz: int, above: float) -> None:
    hz = to_hz / 2 * above
    assert level_db(samples(to_pcm(tone(hz, from_hz), from_hz, to_hz))) < -80


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22050, 8000), (22050, 16000), (22050, 22050), (16000, 22050)])
@pytest.mark.parametrize("hz", [300.0, 1000.0, 3400.0])
def test_a_tone_of_speech_keeps_its_level_and_pitch(from_hz: int, to_hz: int, hz: float) -> None:
    out = samples(to_pcm(tone(hz, from_hz), from_hz, to_hz))
    assert level_db(out) == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.2)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(out.size)))
    assert float(np.argmax(spectrum)) * to_hz / out.size == pytest.approx(hz, abs=4)


@pytest.mark.parametrize("to_hz", [8000, 16000, 22050])
def test_nothing_is_held_back(to_hz: int) -> None:
    pcm = to_pcm(tone(1000, 22050), 22050, to_hz)
    assert duration_s(len(pcm), to_hz) == pytest.approx(0.5, abs=0.001)
    assert np.max(np.abs(samples(pcm)[-to_hz // 100 :])) > 0.4


def test_samples_are_clipped_and_never_wrapped() -> None:
    loud = np.array([1.5, -1.5, 1.0, -1.0, 0.0], np.float32)
    assert np.frombuffer(to_pcm(loud, 8000, 8000), "<i2").tolist() == [32767, -32768, 32767, -32767, 0]


def test_silence_has_its_length() -> None:
    assert silence(250, 8000) == bytes(4000)
    assert to_pcm(np.zeros(0, np.float32), 22050, 8000) == b""
