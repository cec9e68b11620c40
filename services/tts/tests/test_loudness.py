"""Speech is brought to one level."""

import numpy as np
import pytest

from services.tts.engine import Waveform
from services.tts.loudness import PEAK_DBFS, TARGET_DBFS, active_level_dbfs, fit

RATE_HZ = 22050


def tone(seconds: float, amplitude: float, silence_s: float = 0.3) -> Waveform:
    speech = amplitude * np.sin(2 * np.pi * 300 * np.arange(int(RATE_HZ * seconds)) / RATE_HZ)
    silence = np.zeros(int(RATE_HZ * silence_s))
    return np.concatenate([silence, speech, silence]).astype(np.float32)


@pytest.mark.parametrize("amplitude", [0.05, 0.3, 1.0])
def test_speech_is_brought_to_one_level(amplitude: float) -> None:
    assert active_level_dbfs(fit(tone(1.0, amplitude), RATE_HZ), RATE_HZ) == pytest.approx(TARGET_DBFS, abs=0.5)


def test_a_whisper_is_lifted_only_so_far() -> None:
    assert active_level_dbfs(fit(tone(1.0, 0.001), RATE_HZ), RATE_HZ) < TARGET_DBFS - 20


def test_peaks_stay_below_the_limit() -> None:
    speech = tone(1.0, 0.02)
    speech[RATE_HZ // 2 :: RATE_HZ // 10] = 1.0
    assert np.max(np.abs(fit(speech, RATE_HZ))) <= 10 ** (PEAK_DBFS / 20) + 1e-6


def test_silence_is_trimmed_to_a_margin() -> None:
    assert fit(tone(1.0, 0.3), RATE_HZ).size / RATE_HZ == pytest.approx(1.03, abs=0.011)


def test_both_ends_are_zero_and_rise_slowly() -> None:
    fitted = fit(np.full(RATE_HZ, 0.3, np.float32), RATE_HZ)
    assert fitted[0] == fitted[-1] == 0
    assert np.max(np.abs(np.diff(fitted))) < 0.005


@pytest.mark.parametrize("size", [0, 10, RATE_HZ])
def test_silence_is_nothing(size: int) -> None:
    assert fit(np.zeros(size, np.float32), RATE_HZ).size == 0
