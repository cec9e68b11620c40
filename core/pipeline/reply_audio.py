"""Turns a reply into audio, clause by clause, ahead of the moment at which it may be heard."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from core.dialogue.action import Action
from core.dialogue.reply import Reply
from core.dialogue.settings import DialogueSettings
from core.errors import ProviderError
from core.observability import metrics
from core.pipeline.answer import Answer, Asking, Pause
from core.pipeline.effects import Effects, KeyPresses, Requests
from core.pipeline.phrase_book import PhraseBook
from core.providers.base import GenerationParameters, Generator, Synthesizer

log = logging.getLogger(__name__)

# A provider that does not stop sooner is left to its own timeout.
STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio of a reply, or keys to be sent behind it.

    Attributes:
        text: the clause that it begins, "" where it goes on with one.
        ends: nothing more of the clause follows.
    """

    pcm: bytes
    text: str
    keys: KeyPresses | None = None
    ends: bool = False


@dataclass(slots=True)
class ReplyTimes:
    """Monotonic times at which the first words and the first audio of a reply were there, 0 until then."""

    answered_s: float = 0.0
    synthesised_s: float = 0.0


@dataclass(slots=True)
class ReplyMaker:
    """Makes the audio of replies for one call, and owns the work on them."""

    generator: Generator
    synthesizer: Synthesizer
    phrases: PhraseBook
    parameters: GenerationParameters
    settings: DialogueSettings
    session_id: str
    sample_rate_hz: int
    requests: Requests = field(default_factory=Requests)
    _replies: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The work on a reply, until it has stopped; nobody need wait for that. Needs a running loop."""
        task = asyncio.get_running_loop().create_task(work, name="reply")
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)
        return task

    async def stop(self) -> None:
        """The call is over."""
        replies = set(self._replies)
        for task in replies:
            task.cancel()
        if replies:
            await asyncio.wait(replies, timeout=STOP_TIMEOUT_S)
        await self.requests.stop()

    def answer(self, reply: Reply, effects: Effects) -> Answer:
        """The reply's words; `effects` is what was done for its question already."""
        return Answer(
            reply, Asking(self.generator, self.parameters, self.settings, self.session_id, self.requests), effects
        )

    async def pieces(self, answer: Answer, times: ReplyTimes, taken: asyncio.Event) -> AsyncGenerator[Piece, None]:
        """The answer's audio as it is made. A provider that fails, or keeps the caller waiting, is apologised for."""
        try:
            async with aclosing(self._spoken(answer, times)) as pieces:
                while (piece := await self._next(pieces)) is not None:
                    if isinstance(piece, Pause):
                        # The caller may speak for as long as they like.
                        await taken.wait()
                    else:
                        yield piece
            if not times.synthesised_s:
                log.warning("reply without a sound")
                for piece in self._instead(self.settings.way_out_message, times):
                    yield piece
        except Exception as error:
            # Of whatever kind: the caller must not be left in silence.
            stage = "tts" if times.answered_s else "llm"
            metrics.PROVIDER_FAILURES.labels(stage).inc()
            # What a provider cannot say, its error may quote.
            detail = str(error) if isinstance(error, ProviderError) else type(error).__name__
            log.error("reply failed", extra={"stage": stage, "error": detail})
            for piece in self._instead(self.settings.apology_message, times):
                yield piece

    async def _next(self, pieces: AsyncGenerator[Piece | Pause, None]) -> Piece | Pause | None:
        async with asyncio.timeout(self.settings.answer_timeout_s):
            return await anext(pieces, None)

    async def _spoken(self, answer: Answer, times: ReplyTimes) -> AsyncGenerator[Piece | Pause, None]:
        async with aclosing(answer.parts()) as parts:
            async for part in parts:
                if isinstance(part, Pause):
                    yield part
                    continue
                if isinstance(part, KeyPresses):
                    yield Piece(b"", "", part)
                    continue
                times.answered_s = times.answered_s or time.monotonic()
                async with aclosing(self.say(part)) as pieces:
                    async for piece in pieces:
                        times.synthesised_s = times.synthesised_s or time.monotonic()
                        yield piece

    def _instead(self, text: str, times: ReplyTimes) -> list[Piece]:
        """A text that is said without the voice; nothing where it has not been rendered."""
        piece = self.fixed(text)
        if piece is None:
            return []
        times.answered_s = times.answered_s or time.monotonic()
        times.synthesised_s = times.synthesised_s or time.monotonic()
        return [piece]

    async def say(self, text: str) -> AsyncGenerator[Piece, None]:
        """The audio of one text: from the phrase book where it is there, else from the synthesizer."""
        rendered = self.fixed(text)
        if rendered is not None:
            yield rendered
            return
        begun = False
        async with aclosing(self.synthesizer.synthesize(text, self.sample_rate_hz)) as audio:
            async for pcm in audio:
                yield Piece(pcm, "" if begun else text)
                begun = True
        if begun:
            yield Piece(b"", "", ends=True)

    def fixed(self, text: str) -> Piece | None:
        """A text from the phrase book, or None where it has not been rendered."""
        pcm = self.phrases.get(text, self.sample_rate_hz)
        return None if pcm is None else Piece(pcm, text, ends=True)


class PreparedReply:
    """A reply whose audio is being made while the caller may still go on speaking.

    What has been made is kept until it is read; the length of a reply, which the model's `max_tokens` bounds,
    bounds it.
    """

    def __init__(self, heard: str, reply: Reply, maker: ReplyMaker, effects: Effects | None = None) -> None:
        self.heard = heard
        self.reply = reply
        self.times = ReplyTimes()
        self._answer = maker.answer(reply, effects or Effects())
        self._taken = asyncio.Event()
        self._pieces: list[Piece] = []
        self._news = asyncio.Event()
        self._task = maker.begin(self._make(maker))
        self._task.add_done_callback(lambda _: self._news.set())

    @property
    def action(self) -> Action:
        """What follows once the caller has heard it: settled when all of it is made."""
        return self._answer.action

    @property
    def owed(self) -> bool:
        """Whether words are still to come of what a tool was asked."""
        return self._answer.owed

    def texts_behind(self, text: str) -> list[str]:
        """What was to be said after this clause, "" for all of it, as far as it is known."""
        return self._answer.texts_behind(text)

    def take(self) -> None:
        """The caller's turn is over: what the model asks for may happen."""
        self._taken.set()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The audio made so far, then the rest as it is made."""
        read = 0
        while True:
            self._news.clear()
            while read < len(self._pieces):
                yield self._pieces[read]
                read += 1
            if self._task.done():
                return
            await self._news.wait()

    def cancel(self) -> None:
        """Stops the work on it, on the providers' side too, however long one of them takes."""
        self._task.cancel()

    async def _make(self, maker: ReplyMaker) -> None:
        async for piece in maker.pieces(self._answer, self.times, self._taken):
            self._pieces.append(piece)
            self._news.set()
