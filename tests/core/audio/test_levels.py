"""core.audio.levels: measures of known signals."""

import math

import numpy as np
import pytest

from core.audio.levels import SILENCE_DBFS, rms_dbfs, snr_db, tone_dbfs
from tests.core.audio.signals import noise, tone, voice


def test_full_scale_square_wave_is_0_and_sine_3_below() -> None:
    assert rms_dbfs(b"\x00\x80" * 100) == pytest.approx(0)
    assert rms_dbfs(tone(1000, 8000, amplitude=32767)) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("pcm", [b"", b"\x00", bytes(320)])
def test_silence_has_a_floor(pcm: bytes) -> None:
    assert rms_dbfs(pcm) == SILENCE_DBFS
    assert tone_dbfs(pcm, 1000, 8000) == SILENCE_DBFS


def test_tone_is_found_at_its_frequency_alone() -> None:
    pcm = tone(1000, 8000, amplitude=3276.8)

    assert tone_dbfs(pcm, 1000, 8000) == pytest.approx(-23.01, abs=0.01)
    assert tone_dbfs(pcm, 1100, 8000) < -90


def test_one_bit_of_sound_is_above_the_floor() -> None:
    assert rms_dbfs(b"\x01\x00") == pytest.approx(-90.3, abs=0.1)


def test_snr_of_added_noise_is_the_ratio_of_powers() -> None:
    clean, disturbance = tone(440, 8000), noise(8000, deviation=100)
    noisy = (np.frombuffer(clean, "<i2") + np.frombuffer(disturbance, "<i2")).astype("<i2").tobytes()

    assert snr_db(clean, noisy) == pytest.approx(rms_dbfs(clean) - rms_dbfs(disturbance), abs=0.1)


def test_snr_forgives_delay_and_scale() -> None:
    clean = voice(8000)
    late = bytes(2 * 37) + clean

    assert snr_db(clean, late, max_delay_samples=50) == math.inf
    assert snr_db(clean, late) < 10


def test_snr_of_nothing_in_common_is_the_worst() -> None:
    assert snr_db(bytes(100), tone(440, 8000)) == -math.inf
    assert snr_db(tone(440, 8000), bytes(16_000)) == -math.inf
    assert snr_db(tone(440, 8000), b"") == -math.inf
