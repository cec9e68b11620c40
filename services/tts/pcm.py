"""From a voice's samples to 16-bit little-endian PCM at the rate asked for."""

import numpy as np
import soxr

from services.tts.engine import Waveform

SAMPLE_RATES_HZ = (8000, 16000, 22050)
BYTES_PER_SAMPLE = 2


def to_pcm(waveform: Waveform, from_hz: int, to_hz: int) -> bytes:
    """The whole clause at once: it begins and ends in silence, so nothing is held back for the next one.

    A running resampler would keep the last 10 to 20 ms of a clause until more came, which is what a caller would hear
    as a cut word while the next clause is being made.
    """
    if from_hz != to_hz:
        waveform = soxr.resample(waveform, from_hz, to_hz, quality="HQ")
    scaled = np.rint(waveform * 32767.0)
    pcm: bytes = np.clip(scaled, -32768, 32767).astype("<i2").tobytes()
    return pcm


def silence(duration_ms: int, sample_rate_hz: int) -> bytes:
    return bytes(sample_rate_hz * duration_ms // 1000 * BYTES_PER_SAMPLE)


def duration_s(pcm_bytes: int, sample_rate_hz: int) -> float:
    return pcm_bytes / BYTES_PER_SAMPLE / sample_rate_hz
