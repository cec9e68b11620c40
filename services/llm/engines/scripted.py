"""An engine without a model: it repeats what the user said. Its cache is kept, shared and limited as a real one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from services.llm.engine import EngineFailed, EngineInfo, Feed, Message, PromptRefused, Sampler, Sampling
from services.llm.settings import LlmSettings

# A token is a byte, or one of these.
CONTROL = {"system": 256, "user": 257, "assistant": 258}
END = 259


def repeat(text: str) -> str:
    return f"You said: {text}"


class ScriptedEngine:
    """`reply` makes the answer from what the user said last, as the cache has it: a wrong cache, a wrong answer."""

    def __init__(self, settings: LlmSettings, _models_dir: Path, reply: Callable[[str], str] = repeat) -> None:
        self._reply = reply
        self._sequences: list[list[_Cell]] = [[] for _ in range(settings.sessions_cached + 1)]
        self._numbers = count()
        self._info = EngineInfo(
            engine="scripted",
            model="scripted",
            sequences=len(self._sequences),
            context_tokens=settings.context_tokens,
            sequence_tokens=settings.request_tokens,
            step_tokens=settings.step_tokens,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def used_tokens(self) -> int:
        """That all sequences hold together."""
        return len({cell.number for cells in self._sequences for cell in cells})

    def tokens(self, sequence: int) -> list[int]:
        """That one sequence holds."""
        return [cell.token for cell in self._sequences[sequence]]

    def load(self) -> None:
        """There is nothing to load."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [*self._turns(messages), CONTROL["assistant"]]

    def encode_prefix(self, messages: Sequence[Message]) -> list[int]:
        return [*self._turns(messages), CONTROL["user"]]

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < min(CONTROL.values()) else b""

    def is_end(self, token: int) -> bool:
        return token == END

    def sampler(self, _sampling: Sampling) -> Sampler:
        return _ScriptedSampler()

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        if sum(len(feed.tokens) for feed in feeds) > self._info.step_tokens:
            raise EngineFailed("more tokens than a step takes")
        for feed in feeds:
            cells = self._sequences[feed.sequence]
            if feed.position != len(cells) or not feed.tokens:
                raise EngineFailed(f"sequence {feed.sequence} has {len(cells)} tokens, not {feed.position}")
            cells.extend(_Cell(next(self._numbers), token) for token in feed.tokens)
        if self.used_tokens > self._info.context_tokens:
            raise EngineFailed("the cache is full")
        return [self._next(feed.sequence) if feed.sampler else None for feed in feeds]

    def truncate(self, sequence: int, length: int) -> int:
        del self._sequences[sequence][length:]
        return length

    def share(self, source: int, target: int, length: int) -> int:
        self._sequences[target] = self._sequences[source][:length]
        return length

    def close(self) -> None:
        """There is nothing to free."""

    def _turns(self, messages: Sequence[Message]) -> list[int]:
        tokens: list[int] = []
        for message in messages:
            if message.role not in CONTROL:
                raise PromptRefused(f"no role {message.role!r}")
            tokens += [CONTROL[message.role], *message.content.encode(), END]
        return tokens

    def _next(self, sequence: int) -> int:
        tokens = self.tokens(sequence)
        answer_at = _last(tokens, CONTROL["assistant"]) + 1
        said_at = _last(tokens, CONTROL["user"]) + 1
        said = bytes(token for token in tokens[said_at:answer_at] if token < min(CONTROL.values()))
        reply = self._reply(said.decode()).encode()
        spoken = len(tokens) - answer_at
        return reply[spoken] if spoken < len(reply) else END


@dataclass(frozen=True, slots=True)
class _Cell:
    """A place in the cache; sequences may share it."""

    number: int
    token: int


class _ScriptedSampler:
    def close(self) -> None:
        """There is nothing to free."""


def _last(tokens: Sequence[int], wanted: int) -> int:
    return max((at for at, token in enumerate(tokens) if token == wanted), default=-1)
