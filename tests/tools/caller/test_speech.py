"""The caller's voice."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tools.caller.facts import normalise
from tools.caller.script import Say
from tools.caller.speech import PIPER_VOICE, SpeechCache, SpeechError, piper_renderer
from tools.caller.transcriber import whisper_transcriber


def beep(level: float, sample_rate_hz: int = 8000, seconds: float = 0.5, around: float = 0.3) -> npt.NDArray[np.int16]:
    """A tone with silence around it."""
    samples = np.arange(int(sample_rate_hz * seconds)) / sample_rate_hz
    tone = np.round(32767 * level * np.sin(2 * np.pi * 440 * samples))
    silence = np.zeros(int(sample_rate_hz * around))
    return np.concatenate([silence, tone, silence]).astype(np.int16)


def write_wav(path: Path, samples: npt.NDArray[np.int16], rate: int = 8000, channels: int = 1, width: int = 2) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


class Renderer:
    """Counts what it is asked for."""

    def __init__(self, level: float = 0.1) -> None:
        self.asked: list[str] = []
        self._level = level

    def __call__(self, text: str) -> tuple[npt.NDArray[np.int16], int]:
        self.asked.append(text)
        return beep(self._level, 22050), 22050


def say(text: str) -> Say:
    return Say(do="say", text=text)


def level_dbfs(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, dtype="<i2") / 32768
    return float(20 * np.log10(np.sqrt(np.mean(samples**2))))


def test_text_is_rendered_once_and_kept(tmp_path: Path) -> None:
    render = Renderer()
    first = SpeechCache(tmp_path, render, "a").pcm(say("Hello."))
    assert SpeechCache(tmp_path, render, "a").pcm(say("Hello.")) == first
    assert render.asked == ["Hello."]
    SpeechCache(tmp_path, render, "a").pcm(say("Hi."))
    SpeechCache(tmp_path, render, "b").pcm(say("Hello."))
    assert render.asked == ["Hello.", "Hi.", "Hello."]


@pytest.mark.parametrize("level", [0.02, 0.1, 0.9])
def test_speech_is_cut_to_what_is_heard_and_levelled(tmp_path: Path, level: float) -> None:
    pcm = SpeechCache(tmp_path, Renderer(level), "a").pcm(say("Hello."))
    assert len(pcm) / 16 == pytest.approx(40 + 500 + 120, abs=25)
    assert level_dbfs(pcm[16 * 60 : 16 * 500]) == pytest.approx(-22, abs=0.5)


def test_silence_is_no_speech(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=r"nothing can be heard in 'Hello\.'"):
        SpeechCache(tmp_path, Renderer(0.0), "a").pcm(say("Hello."))
    assert list(tmp_path.iterdir()) == []


def test_wav_of_another_rate_and_two_channels_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    mono = beep(0.3, 16000)
    write_wav(path, np.stack([mono, np.zeros_like(mono)], axis=1).ravel(), 16000, channels=2)
    pcm = SpeechCache(tmp_path, Renderer(), "a").pcm(Say(do="say", wav=path))
    assert len(pcm) / 16 == pytest.approx(40 + 500 + 120, abs=25)


def test_wav_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(b"no WAV")
    cache = SpeechCache(tmp_path, Renderer(), "a")
    with pytest.raises(SpeechError, match="cannot be read"):
        cache.pcm(Say(do="say", wav=path))
    write_wav(path, beep(0.3), width=1)
    with pytest.raises(SpeechError, match="8-bit samples"):
        cache.pcm(Say(do="say", wav=path))


@pytest.mark.engine
def test_real_voice_is_understood_by_the_real_transcriber(tmp_path: Path) -> None:
    words = "When are you open on Saturday?"
    pcm = SpeechCache(tmp_path, piper_renderer(), PIPER_VOICE).pcm(say(words))
    transcribe = whisper_transcriber()
    assert normalise(transcribe(np.frombuffer(pcm, dtype="<i2"))) == normalise(words)
    assert transcribe(np.zeros(400, dtype=np.int16)) == ""
