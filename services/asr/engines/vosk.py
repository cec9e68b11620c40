"""Kaldi through Vosk: hears an utterance as it comes, so that its end costs next to nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from services.asr.engines.joined import joined
from services.asr.settings import AsrSettings
from services.common.model_files import ModelBroken, ModelMissing, resolve

MODEL_DEFAULT = "vosk-model-small-en-us-0.15"

# Without these Kaldi ends the process or crashes instead of refusing (model layouts of alphacephei.com/vosk/models).
_FILES = ("am/final.mdl", "conf/mfcc.conf")
_QUIET = -1


def create(settings: AsrSettings, models_dir: Path) -> "Vosk":
    return Vosk(settings, models_dir)


class Vosk:
    """One model, shared by a decoder for each utterance."""

    name = "vosk"
    repeatable = False
    threads = 1
    interim_interval_s = 0.2

    def __init__(self, settings: AsrSettings, models_dir: Path) -> None:
        self._settings = settings
        self._models_dir = models_dir
        self._path = Path(settings.model or MODEL_DEFAULT)
        self._model: Any = None
        self.passes = os.cpu_count() or 1

    @property
    def model(self) -> Path:
        return self._path

    def load(self) -> None:
        self._path = resolve(self._settings.model or MODEL_DEFAULT, self._models_dir)
        for name in _FILES:
            if not (self._path / name).is_file():
                raise ModelMissing(self._path / name, f"oavc models fetch {MODEL_DEFAULT}")
        import vosk  # brings Kaldi into memory

        vosk.SetLogLevel(_QUIET)
        try:
            self._model = vosk.Model(str(self._path))
        except Exception as error:  # Vosk raises no narrower class
            raise ModelBroken(self._path, str(error), f"oavc models fetch {MODEL_DEFAULT}") from error

    def check(self, options: RecognitionOptions) -> None:
        # A Kaldi model does not name its language: the settings may, else it is taken as asked for.
        asked, known = (tag.split("-")[0].lower() for tag in (options.language, self._settings.language))
        if asked and known and asked != known:
            raise UnsupportedOption(f"language {options.language!r}: {self._path} is set as {known}")

    def begin(self, options: RecognitionOptions) -> "VoskRecognition":
        # A phrase list as grammar would make every other word unknown, so it is left alone.
        import vosk

        recognizer = vosk.KaldiRecognizer(self._model, float(SAMPLE_RATE_HZ))
        recognizer.SetWords(True)
        if options.alternatives:
            recognizer.SetMaxAlternatives(1 + options.alternatives)
        return VoskRecognition(recognizer, options)

    def close(self) -> None:
        self._model = None


class VoskRecognition:
    """One decoder. Where Kaldi itself sees an end of an utterance, what it read so far is kept and it goes on."""

    def __init__(self, recognizer: Any, options: RecognitionOptions) -> None:
        self._recognizer = recognizer
        self._options = options
        self._read: list[Transcript] = []

    def accept(self, samples: Samples) -> None:
        pcm = np.clip(samples * 32768, -32768, 32767).astype(np.int16).tobytes()
        if self._recognizer.AcceptWaveform(pcm):
            self._keep(self._recognizer.Result())

    def interim(self, superseded: Callable[[], bool]) -> Transcript | None:  # noqa: ARG002
        partial = json.loads(self._recognizer.PartialResult()).get("partial", "")
        return self._joined(Transcript(text=partial, confidence=0.5 if partial else 0.0))

    def final(self) -> Transcript:
        self._keep(self._recognizer.FinalResult())
        return self._joined(Transcript())

    def _keep(self, result: str) -> None:
        transcript = parsed(result, words=self._options.words)
        if transcript.text:
            self._read.append(transcript)

    def _joined(self, last: Transcript) -> Transcript:
        # Kaldi's times already count from the decoder's begin.
        return joined([(0.0, part) for part in (*self._read, last) if part.text or not self._read])


def parsed(result: str, *, words: bool) -> Transcript:
    """A result of Vosk in either of its forms: one reading, or alternatives."""
    fields = json.loads(result)
    readings = fields.get("alternatives") or [fields]
    best = readings[0]
    heard = tuple(
        Word(word["word"], float(word.get("conf", 1.0)), float(word["start"]), float(word["end"]))
        for word in best.get("result", ())
    )
    text = best.get("text", "").strip()
    confidence = sum(word.confidence for word in heard) / len(heard) if heard else 0.0
    return Transcript(
        text=text,
        confidence=min(1.0, confidence),
        words=heard if words else (),
        # Their own figures are unbounded scores of the lattice, no probabilities.
        alternatives=tuple(Alternative(each.get("text", "").strip(), 0.0) for each in readings[1:]),
    )
