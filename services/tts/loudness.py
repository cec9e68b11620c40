"""A rendered clause made fit for the telephone: silence trimmed, edges faded, level set.

The target is near the nominal level of speech on digital telephone lines (ITU-T G.168 and P.56 speak of active
speech level): loud enough over street noise, with room for peaks.
"""

import numpy as np

from services.tts.engine import Waveform

TARGET_DBFS = -20.0
PEAK_DBFS = -1.5
# More would lift a voice's breath and hiss rather than its speech.
_GAIN_MAX_DB = 18.0

_FRAME_MS = 5
# Below the loudest frame. An unvoiced "f" lies about 40 dB under a vowel.
_SILENCE_DB = -50.0
_ACTIVE_DB = -30.0
_MARGIN_MS = 15
_FADE_MS = 4


def fit(waveform: Waveform, sample_rate_hz: int) -> Waveform:
    """The speech alone, at the target level, both ends at zero; empty where there is none."""
    frame = sample_rate_hz * _FRAME_MS // 1000
    levels = _levels(waveform, frame)
    if not levels.size or levels.max() < 1e-5:
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(levels > levels.max() * _ratio(_SILENCE_DB))
    margin = sample_rate_hz * _MARGIN_MS // 1000
    start = max(0, int(loud[0]) * frame - margin)
    stop = min(waveform.size, (int(loud[-1]) + 1) * frame + margin)
    return _faded(_levelled(waveform[start:stop], levels), sample_rate_hz)


def active_level_dbfs(waveform: Waveform, sample_rate_hz: int) -> float:
    """RMS of the frames in which there is speech."""
    levels = _levels(waveform, sample_rate_hz * _FRAME_MS // 1000)
    return 20 * float(np.log10(_active_rms(levels)))


def _levels(waveform: Waveform, frame: int) -> Waveform:
    count = waveform.size // frame
    frames = waveform[: count * frame].reshape(count, frame)
    return np.sqrt(np.mean(np.square(frames), axis=1, dtype=np.float32))


def _levelled(waveform: Waveform, levels: Waveform) -> Waveform:
    gain = min(_ratio(TARGET_DBFS) / _active_rms(levels), _ratio(_GAIN_MAX_DB))
    peak = float(np.max(np.abs(waveform)))
    return waveform * np.float32(min(gain, _ratio(PEAK_DBFS) / peak))


def _active_rms(levels: Waveform) -> float:
    active = levels[levels > levels.max() * _ratio(_ACTIVE_DB)]
    return float(np.sqrt(np.mean(np.square(active))))


def _faded(waveform: Waveform, sample_rate_hz: int) -> Waveform:
    count = min(sample_rate_hz * _FADE_MS // 1000, waveform.size // 2)
    if count:
        ramp = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, count))).astype(np.float32)
        waveform[:count] *= ramp
        waveform[-count:] *= ramp[::-1]
    return waveform


def _ratio(db: float) -> float:
    return float(10 ** (db / 20))
