"""One request on its way through the scheduler: its prompt, what it has said so far, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.llm.engine import Sampler, Sampling
from services.llm.prefix_cache import Place
from services.llm.text_stream import TextStream

DEFAULT_SAMPLING = Sampling()


class Finish(Enum):
    """Why an answer ended: the model or a stop string, the limit, or that nobody wants it any more."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of the model.

    Attributes:
        max_tokens: of the answer; 0 only evaluates the prompt.
        pinned: the prompt stays in the cache for good.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = DEFAULT_SAMPLING
    stop: Sequence[str] = ()
    session_id: str = ""
    pinned: bool = False


@dataclass(slots=True)
class Usage:
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    queued_s: float = 0.0
    first_token_s: float = 0.0


class Listener(Protocol):
    """Who hears the answer. Called on the scheduler's thread; must return at once."""

    def on_text(self, text: str) -> None: ...

    def on_end(self, finish: Finish, usage: Usage, detail: str) -> None: ...


class Generation:
    """The state of one job.

    Attributes:
        cancelled: set from any thread; seen before the next step.
        pending: prompt tokens not yet evaluated, or the one token drawn last.
    """

    def __init__(self, job: Job, listener: Listener, submitted_s: float) -> None:
        self.job = job
        self.listener = listener
        self.submitted_s = submitted_s
        self.usage = Usage(prompt_tokens=len(job.prompt))
        self.cancelled = False
        self.place: Place | None = None
        self.sampler: Sampler | None = None
        self.pending: list[int] = []
        self.text = TextStream(job.stop)

    @property
    def answering(self) -> bool:
        """Its prompt is evaluated; each step gives it one token."""
        return self.usage.completion_tokens > 0
