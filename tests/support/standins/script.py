"""What a stand-in for a language model's server answers, and how it misbehaves."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from core.providers.base import GenerationParameters, Generator, Message, TakenOver, ToolCall

ANSWER = ("We ", "are ", "open ", "from ", "nine.")
REFUSAL = "as the test wants it"
# A conversation as it came over the wire: role, content and whatever the protocol adds.
WireMessages = Sequence[Mapping[str, Any]]
Answer = Callable[[WireMessages], AsyncGenerator[str | ToolCall, None]]


def saying(*pieces: str | ToolCall) -> Answer:
    """The same answer to every question."""

    async def answer(_messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        for piece in pieces:
            yield piece

    return answer


def asking(generator: Generator, parameters: GenerationParameters | None = None) -> Answer:
    """What a real model answers, such as that of the service behind `core.providers.llm.grpc`."""

    async def answer(messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        conversation = [Message(each["role"], each.get("content") or "") for each in messages]
        asked = generator.generate(conversation, parameters or GenerationParameters(), "")
        async with aclosing(asked) as pieces:
            async for piece in pieces:
                assert not isinstance(piece, TakenOver), "one model answers"
                yield piece

    return answer


class Refused(Exception):
    """The server refuses with `status`, as HTTP counts."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Died(Exception):
    """The connection is to be cut without a word."""


@dataclass
class Script:
    """One server's behaviour, and what it has seen.

    Attributes:
        answer: makes the pieces; a real engine will do.
        refusal: status it refuses with, after `refuse_after` pieces, saying `refusal_text`.
        die_after: pieces after which it cuts the connection.
        may_begin: an answer waits for it before its first piece.
        may_go_on: an answer waits for it before each further piece.
        piece_s: time that each further piece takes, as models need theirs.
        requests: bodies of the requests for answers.
        cancelled: answers that whoever asked for them gave up.
    """

    answer: Answer = field(default_factory=lambda: saying(*ANSWER))
    refusal: int | None = None
    refuse_after: int = 0
    refusal_text: str = REFUSAL
    die_after: int | None = None
    may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    piece_s: float = 0.001
    requests: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0

    def __post_init__(self) -> None:
        self.may_begin.set()
        self.may_go_on.set()

    @asynccontextmanager
    async def asked(self, request: dict[str, Any]) -> AsyncIterator[None]:
        """Around all that is done for one request."""
        self.requests.append(request)
        self.running += 1
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def pieces(self, messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        """The answer.

        Raises:
            Refused, Died: as told to.
        """
        number = 0
        self._misbehave(number)
        await self.may_begin.wait()
        async with aclosing(self.answer(messages)) as pieces:
            async for piece in pieces:
                if number:
                    await self.may_go_on.wait()
                    await asyncio.sleep(self.piece_s)
                self._misbehave(number)
                yield piece
                number += 1
        self._misbehave(number)

    def _misbehave(self, number: int) -> None:
        if self.die_after == number:
            raise Died
        if self.refusal is not None and self.refuse_after == number:
            raise Refused(self.refusal, self.refusal_text)
