"""An engine and a VAD that hear tones: each pitch is a word. They keep the seams' contracts and can be held up."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.asr.engine import (
    SAMPLE_RATE_HZ,
    Alternative,
    RecognitionOptions,
    Samples,
    Transcript,
    UnsupportedOption,
    Word,
)
from services.asr.voice_activity import VoiceActivity
from services.common.model_files import ModelMissing

WORDS = {400: "hello", 700: "book", 1000: "table", 1300: "four", 1600: "please"}
_STEP = SAMPLE_RATE_HZ // 100
_LOUD_RMS = 0.02
HELD_TIMEOUT_S = 10.0


def said(*words: str, sample_rate_hz: int = SAMPLE_RATE_HZ, word_s: float = 0.3, gap_s: float = 0.05) -> bytes:
    """PCM in which the fakes hear these words."""
    pitches = {word: pitch for pitch, word in WORDS.items()}
    t = np.arange(int(word_s * sample_rate_hz)) / sample_rate_hz
    gap = np.zeros(int(gap_s * sample_rate_hz))
    parts = [part for word in words for part in (0.3 * np.sin(2 * np.pi * pitches[word] * t), gap)]
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def quiet(seconds: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    return bytes(2 * int(seconds * sample_rate_hz))


class ToneActivity:
    """Loud is speech."""

    def load(self) -> None:
        pass

    def stream(self) -> VoiceActivity:
        return self

    def probabilities(self, windows: Samples) -> Samples:
        loud = np.sqrt(np.mean(windows * windows, axis=1)) > _LOUD_RMS
        return np.where(loud, 0.95, 0.02).astype(np.float32)


@dataclass
class ToneEngine:
    """Reads tones.

    Attributes:
        superseded: what the last interim reading was given to ask.
        calls: "interim" or "final" for each reading made, in order.
        hold: while set to an unset event, readings wait for it.
        failure: raised by every reading.
        lag_s: of what it heard last, interim readings know nothing yet.
        counts: a reading says how many words were heard; so many words would be taken for a phantom.
        reads: what every reading says instead of what was heard.
    """

    name: str = "tones"
    repeatable: bool = True
    threads: int = 1
    passes: int = 1
    interim_interval_s: float = 0.0
    model: Path = Path("models/tones")
    calls: list[str] = field(default_factory=list)
    hold: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    reads: Transcript | None = None
    lag_s: float = 0.0
    counts: bool = False
    superseded: Callable[[], bool] = lambda: False
    options: list[RecognitionOptions] = field(default_factory=list)
    missing: bool = False
    loaded: bool = False

    def load(self) -> None:
        if self.missing:
            raise ModelMissing(self.model / "tones.bin", "oavc models fetch tones")
        self.loaded = True

    def check(self, options: RecognitionOptions) -> None:
        if options.language not in {"", "en", "en-US"}:
            raise UnsupportedOption(f"language {options.language!r}: tones knows en")

    def begin(self, options: RecognitionOptions) -> "ToneRecognition":
        self.options.append(options)
        return ToneRecognition(self, options)

    def close(self) -> None:
        self.loaded = False


class ToneRecognition:
    def __init__(self, engine: ToneEngine, options: RecognitionOptions) -> None:
        self._engine = engine
        self._options = options
        self._samples = np.zeros(0, np.float32)
        self._over = False

    def accept(self, samples: Samples) -> None:
        assert not self._over, "nothing is accepted after the final"
        self._samples = np.concatenate((self._samples, samples))

    def interim(self, superseded: Callable[[], bool]) -> Transcript | None:
        self._engine.superseded = superseded
        transcript = self._read("interim")
        return None if superseded() else transcript

    def final(self) -> Transcript:
        self._over = not self._engine.repeatable
        return self._read("final")

    def _read(self, kind: str) -> Transcript:
        engine = self._engine
        engine.calls.append(kind)
        engine.entered.set()
        if engine.hold is not None:
            assert engine.hold.wait(HELD_TIMEOUT_S), "nobody let the engine go on"
        if engine.failure is not None:
            raise engine.failure
        if engine.reads is not None:
            return engine.reads
        lag = round(engine.lag_s * SAMPLE_RATE_HZ) if kind == "interim" else 0
        words = heard(self._samples[: len(self._samples) - lag])
        readings = self._options.alternatives if kind == "final" else 0
        return Transcript(
            text=f"{len(words)} words" if engine.counts else " ".join(word.text for word in words),
            confidence=0.9 if words else 0.0,
            words=tuple(words) if self._options.words else (),
            alternatives=tuple(Alternative(f"reading {n}", 0.1) for n in range(readings)),
        )


def heard(samples: Samples) -> list[Word]:
    """The words in the audio, from its pitch step by step."""
    words: list[Word] = []
    start, pitches = 0, []
    steps = samples[: len(samples) // _STEP * _STEP].reshape(-1, _STEP)
    loud = [float(np.sqrt(np.mean(step * step))) > _LOUD_RMS for step in steps]
    for index, is_loud in enumerate([*loud, False]):
        if is_loud:
            pitches.append(_pitch(steps[index]))
            start = index if len(pitches) == 1 else start
        elif pitches:
            middle = sorted(pitches)[len(pitches) // 2]
            text = WORDS[min(WORDS, key=lambda each: abs(each - middle))]
            if len(pitches) > 2:
                words.append(Word(text, 0.9, start / 100, index / 100))
            pitches = []
    return words


def _pitch(step: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(step * np.hanning(len(step)), 1024))
    return float(np.argmax(spectrum)) * SAMPLE_RATE_HZ / 1024
