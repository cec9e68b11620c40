"""Telephone audio at 16 kHz: the tone that was there, and nothing else."""

import numpy as np
import pytest

from services.asr.engine import Samples
from services.asr.resample import Upsampler

RATE_HZ = 8000


def tone(frequency_hz: float, seconds: float = 2.0) -> Samples:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * frequency_hz * t).astype(np.float32)


def level_db(samples: Samples, frequency_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.blackman(len(samples))))
    middle = round(frequency_hz * len(samples) / (2 * RATE_HZ))
    return float(20 * np.log10(spectrum[middle - 4 : middle + 5].max() / len(samples) * 4.76))


@pytest.mark.parametrize("frequency_hz", [200, 440, 1000, 2000, 3000, 3400])
def test_tone_keeps_its_level_and_has_no_image(frequency_hz: int) -> None:
    # Whole periods, so that the tone falls on one line of the spectrum.
    out = Upsampler().feed(tone(frequency_hz))[8000:24_000]
    assert level_db(out, frequency_hz) == pytest.approx(0.0, abs=0.1)
    assert level_db(out, 2 * RATE_HZ / 2 - frequency_hz) < -55


def test_stream_in_packets_is_the_same_as_in_one_piece() -> None:
    samples = tone(700)
    upsampler = Upsampler()
    packets = [upsampler.feed(samples[start : start + 160]) for start in range(0, len(samples), 160)]
    np.testing.assert_allclose(np.concatenate(packets), Upsampler().feed(samples), atol=1e-6)


def test_every_sample_becomes_two_at_once() -> None:
    upsampler = Upsampler()
    assert len(upsampler.feed(np.zeros(1, np.float32))) == 2
    assert len(upsampler.feed(np.zeros(0, np.float32))) == 0


def test_click_comes_out_three_milliseconds_later() -> None:
    click = np.zeros(800, np.float32)
    click[100] = 1.0
    assert int(np.argmax(Upsampler().feed(click))) - 200 == pytest.approx(0.003 * 16_000, abs=2)
