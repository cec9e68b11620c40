"""The seam to a language model: sequences of tokens in one shared cache, advanced together, step by step.

An engine knows tokens, not calls. What a call may use of it, and when, is the scheduler's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class EngineFailed(Exception):
    """A step could not be computed. The sequences that took part are undefined until truncated to nothing."""


class PromptRefused(ValueError):
    """The model's chat template does not take these messages, for the reason given."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: 0 takes the most likely token, always the same one.
        repeat_penalty: 1 is none.
        seed: of the draw, None for another one each time.
    """

    temperature: float = 0.2
    top_p: float = 0.9
    repeat_penalty: float = 1.1
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine offers once loaded.

    Attributes:
        model: the model's file name.
        sequences: how many there are, numbered from 0.
        context_tokens: that all sequences together may hold; a token that sequences share counts once.
        sequence_tokens: that one sequence may hold.
        step_tokens: that one step may take.
    """

    engine: str
    model: str
    sequences: int
    context_tokens: int
    sequence_tokens: int
    step_tokens: int


class Sampler(Protocol):
    """The state of one generation's draws, made by the engine that uses it."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens that one sequence takes in a step.

    Attributes:
        position: of the first of them, which is the sequence's length so far.
        sampler: draws the token that follows the last of them; None where nobody asks yet.
    """

    sequence: int
    tokens: Sequence[int]
    position: int
    sampler: Sampler | None = None


class Engine(Protocol):
    """A loaded model and its cache.

    All methods block. `load`, `step`, `truncate`, `share`, `sampler` and `close` are called by one thread at a time;
    `encode`, `encode_prefix`, `piece` and `is_end` by any.
    """

    @property
    def info(self) -> EngineInfo:
        """Valid once loaded."""

    def load(self) -> None:
        """Reads the weights and makes the cache.

        Raises:
            ModelMissing: there is no such file.
            ModelBroken: there is one, and it cannot be used.
        """

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The whole prompt, up to where the assistant's answer begins. Contents never become control tokens.

        Raises:
            PromptRefused
        """

    def encode_prefix(self, messages: Sequence[Message]) -> list[int]:
        """What every prompt that begins with these messages, and goes on with the user's, begins with.

        Raises:
            PromptRefused
        """

    def piece(self, token: int) -> bytes:
        """The token's part of the text: UTF-8, though a character may be spread over several tokens."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends the answer."""

    def sampler(self, sampling: Sampling, /) -> Sampler: ...

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        """Evaluates all feeds at once; the token drawn after each, None where it has no sampler.

        Raises:
            EngineFailed
        """

    def truncate(self, sequence: int, length: int) -> int:
        """Keeps the first `length` tokens of a sequence at most; returns how many it could keep, that many or none."""

    def share(self, source: int, target: int, length: int) -> int:
        """Makes an empty sequence begin with the first `length` tokens of another; returns as `truncate` does."""

    def close(self) -> None: ...
