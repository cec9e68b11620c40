"""Signals to measure with: 16-bit little-endian mono PCM."""

import numpy as np


def tone(frequency_hz: float, sample_rate_hz: int, duration_s: float = 1.0, amplitude: float = 10_000) -> bytes:
    times = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    return np.rint(amplitude * np.sin(2 * np.pi * frequency_hz * times)).astype("<i2").tobytes()


def voice(sample_rate_hz: int, duration_s: float = 1.0, pitch_hz: float = 120, seed: int = 1) -> bytes:
    """Something like a vowel: harmonics that fall off, a slowly moving level, a little noise."""
    times = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    top = min(3400.0, sample_rate_hz / 2)
    harmonics = range(1, int(top / pitch_hz))
    sound = sum((np.sin(2 * np.pi * pitch_hz * n * times + n) / n for n in harmonics), np.zeros(len(times)))
    level = 4000 * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
    noise = np.random.default_rng(seed).normal(0, 20, len(times))
    return np.rint(np.clip(sound * level + noise, -32768, 32767)).astype("<i2").tobytes()


def noise(samples: int, deviation: float = 3000, seed: int = 1) -> bytes:
    values = np.random.default_rng(seed).normal(0, deviation, samples)
    return np.rint(np.clip(values, -32768, 32767)).astype("<i2").tobytes()


def chunks(pcm: bytes, size_bytes: int) -> list[bytes]:
    return [pcm[at : at + size_bytes] for at in range(0, len(pcm), size_bytes)]
