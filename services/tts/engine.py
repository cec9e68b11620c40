"""The seam to whatever turns a clause into sound, and the engines by name."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that is installed.

    Attributes:
        name: what a request asks for.
        language: BCP 47-like code as the voice's publisher writes it, such as "en_US".
        gender: "" where its publisher does not say.
    """

    name: str
    display_name: str
    language: str
    description: str
    sample_rate_hz: int
    gender: str = ""


class UnknownVoiceError(Exception):
    """No such voice is installed: the client's mistake, unless it is the service's own default."""

    def __init__(self, voice: str, installed: Sequence[str]) -> None:
        super().__init__(f"unknown voice {voice!r}; installed: {', '.join(installed) or 'none'}")


class EngineFailedError(Exception):
    """A clause could not be rendered though its voice is loaded: the engine's own fault."""


class Engine(Protocol):
    """Renders clauses. Its methods block, and may be called from several threads at once."""

    name: str

    def voices(self) -> Sequence[Voice]:
        """Those installed, whether or not they are loaded; a broken one is left out."""
        ...

    def voice(self, name: str) -> Voice:
        """One of them.

        Raises:
            UnknownVoiceError: it is not installed.
        """
        ...

    def load(self, voice: str) -> None:
        """Loads it and speaks into the void once, so that no caller pays for the first time.

        Raises:
            ModelMissing: none of its files is there.
            ModelBroken: they cannot be used.
        """
        ...

    def render(self, text: str, voice: str, speaking_rate: float) -> Waveform:
        """Mono samples within [-1, 1] at the voice's rate, with whatever silence the voice puts around them.

        Raises:
            ModelMissing, ModelBroken: the voice had to be loaded, and could not.
            EngineFailedError: this clause could not be rendered.
        """
        ...

    def rest(self) -> None:
        """Gives back the memory that only work needs."""
        ...

    def close(self) -> None:
        """Frees what it holds. Harmless the second time."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is made with: files, and how much of the machine it takes."""

    models_dir: Path
    threads: int = 2
    loaded_voices_max: int = 2


# The name in the settings -> module and factory, imported when asked for.
ENGINES = {"piper": "services.tts.engines.piper:PiperEngine"}


def make_engine(name: str, settings: EngineSettings) -> Engine:
    """An engine by its registered name."""
    module, _, attribute = ENGINES[name].partition(":")
    factory: Callable[[EngineSettings], Engine] = getattr(importlib.import_module(module), attribute)
    return factory(settings)
