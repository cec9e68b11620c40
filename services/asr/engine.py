"""The seam between the service and what recognises: an `Engine` begins one `Recognition` for each utterance."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

# Mono at SAMPLE_RATE_HZ, -1 to 1.
Samples = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000


class UnsupportedOption(ValueError):
    """The engine, with the model it has, cannot do what was asked."""


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What a client may ask of an engine.

    Attributes:
        language: BCP 47; "" means the model's own.
        alternatives: how many further readings a final transcript carries at most.
        phrases: words of the business that the caller is likely to say.
    """

    language: str = ""
    words: bool = False
    alternatives: int = 0
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """One word and when it was said, in seconds of the audio that the recognition was given."""

    text: str
    confidence: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another reading of the same audio."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an engine read, and how sure it is.

    Attributes:
        confidence: 0 to 1.
        average_log_probability: of its tokens; 0 where the engine has none.
        no_speech_probability: that nobody spoke, in the engine's own opinion; 0 where it has none.
    """

    text: str = ""
    confidence: float = 0.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = field(default=())
    average_log_probability: float = 0.0
    no_speech_probability: float = 0.0


class Recognition(Protocol):
    """One utterance. Blocks; called from one worker thread at a time."""

    def accept(self, samples: Samples) -> None:
        """The utterance goes on with these."""

    def interim(self, superseded: Callable[[], bool]) -> Transcript | None:
        """A quick reading of what was accepted. None if `superseded` turned true on the way: nobody waits for it."""

    def final(self) -> Transcript:
        """The best reading of what was accepted. Unless the engine is `repeatable`, nothing is accepted after it."""


class Engine(Protocol):
    """A model, loaded once, that hears any number of utterances.

    Attributes:
        name: as the settings know it.
        model: path of what was loaded, for statistics.
        repeatable: `final` may be asked at every pause, and the utterance still go on.
        threads: cores that one reading keeps busy.
        passes: how many recognitions may run at the same time with profit.
        interim_interval_s: reading more often than this is not worth its cost.
    """

    name: str
    repeatable: bool
    threads: int
    passes: int
    interim_interval_s: float

    @property
    def model(self) -> Path: ...

    def load(self) -> None:
        """Blocks until the model is in memory and warm.

        Raises:
            ModelMissing, ModelBroken: and says what to do.
        """

    def check(self, options: RecognitionOptions) -> None:
        """Raises `UnsupportedOption` for what `begin` could not honour."""

    def begin(self, options: RecognitionOptions) -> Recognition:
        """Cheap, and safe from any thread."""

    def close(self) -> None:
        """Gives the model's memory back. No recognition is running."""
