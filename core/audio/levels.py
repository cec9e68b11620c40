"""How loud, which tone, how clean: measures of 16-bit little-endian mono PCM."""

import math

import numpy as np
from numpy.typing import NDArray

# What digital silence is said to be, instead of minus infinity.
SILENCE_DBFS = -120.0
_FULL_SCALE = 32768.0


def rms_dbfs(pcm: bytes) -> float:
    """Power relative to a full-scale square wave: a full-scale sine is at -3 dBFS."""
    return _dbfs(float(np.mean(np.square(_samples(pcm)))) if len(pcm) >= 2 else 0.0)


def tone_dbfs(pcm: bytes, frequency_hz: float, sample_rate_hz: int) -> float:
    """Power of one frequency alone, on the scale of `rms_dbfs` (what Goertzel's recurrence computes).

    Exact where the PCM holds whole periods; resolves frequencies that differ by the inverse of its duration.
    """
    samples = _samples(pcm)
    if not len(samples):
        return SILENCE_DBFS
    turns = np.arange(len(samples)) * (frequency_hz / sample_rate_hz)
    projection = np.dot(samples, np.exp(-2j * math.pi * turns)) / len(samples)
    return _dbfs(2 * float(abs(projection)) ** 2)


def snr_db(reference: bytes, degraded: bytes, max_delay_samples: int = 0) -> float:
    """Signal to noise of a copy that may be delayed and scaled: of what is left after the best fit.

    Args:
        max_delay_samples: how much later than `reference` the copy may run.
    """
    original, copy = _samples(reference), _samples(degraded)
    best = -math.inf
    for delay in range(max_delay_samples + 1):
        length = min(len(original), len(copy) - delay)
        if length <= 0:
            break
        wanted, got = original[:length], copy[delay : delay + length]
        power = float(np.dot(wanted, wanted))
        if not power:
            continue
        signal = wanted * (float(np.dot(wanted, got)) / power)
        noise_power = float(np.sum(np.square(got - signal)))
        signal_power = float(np.dot(signal, signal))
        if not signal_power:
            continue
        if not noise_power:
            return math.inf
        best = max(best, 10 * math.log10(signal_power / noise_power))
    return best


def _samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float64)


def _dbfs(mean_square: float) -> float:
    if mean_square <= 0:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10 * math.log10(mean_square / _FULL_SCALE**2))
