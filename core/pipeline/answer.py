"""The words of a reply, clause by clause: fixed ones, or a model's, with what the model asks for on the way."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum

from core.dialogue.action import Action
from core.dialogue.clauses import ClauseAggregator, ends_sentence
from core.dialogue.grounding import invented
from core.dialogue.reply import Reply
from core.dialogue.settings import DialogueSettings
from core.dialogue.tool_arguments import ArgumentError
from core.dialogue.tools import NOTHING_FOUND, UNKNOWN, Fetch, Follow, Found, Press, Request, Toolbox
from core.errors import ProviderError
from core.observability import metrics
from core.pipeline.effects import Effects, KeyPresses, Requests, Result
from core.providers.base import Generated, GenerationParameters, Generator, Message, TakenOver, Tool, ToolCall

log = logging.getLogger(__name__)

# After so many answers that ask for tools the model is asked once more, without any.
MAX_TOOL_ROUNDS = 3
# Calls in one answer; further ones are dropped.
MAX_CALLS = 4
# How long a call is waited for once the model has said all that is spoken.
CALLS_AFTER_WORDS_S = 2.0

_PROMISED = Result("accepted", "This happens once the caller has heard you.")
_ALREADY = Result("repeated", "Something like that was asked for before; it is not done again.")
_NOT_SPOKEN = Result("refused", "Not done: your words were not spoken, they stated something that nobody told you.")


class Pause(Enum):
    """What comes next must not happen before the caller's turn is over."""

    UNTIL_TAKEN = "until taken"


Part = str | KeyPresses | Pause


@dataclass(frozen=True, slots=True)
class Asking:
    """What a model is asked with, on one call."""

    generator: Generator
    parameters: GenerationParameters
    settings: DialogueSettings
    session_id: str
    requests: Requests


@dataclass(slots=True)
class _Round:
    """One answer of the model's, which ends with its calls of tools.

    Attributes:
        begun: its clauses from the beginning; another provider begins again.
        said: those that are spoken.
        over: nothing more of it is spoken.
        held_back: its last clause stated something that nobody gave the model.
        unanswered: a result is to be put into words.
    """

    begun: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    over: bool = False
    held_back: bool = False
    unanswered: bool = False

    def begin_again(self) -> None:
        self.begun.clear()
        self.calls.clear()


class Answer:
    """One reply.

    Attributes:
        action: what follows it, once all its parts were read.
        owed: something was asked of a tool, and the words that are to come of it are not all there.
    """

    def __init__(self, reply: Reply, asking: Asking, effects: Effects) -> None:
        self.action = reply.action
        self.owed = False
        self._reply = reply
        self._asking = asking
        self._effects = effects
        self._given = list(reply.given)
        self._said: list[str] = []

    def texts_behind(self, text: str) -> list[str]:
        """What is said after this clause, "" for all of it, as far as it was made; none behind what is not its own."""
        texts = self._said if self._reply.text is None else [self._reply.text]
        if not text:
            return list(texts)
        return texts[texts.index(text) + 1 :] if text in texts else []

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Clauses to be spoken and keys to be sent, in order."""
        if self._reply.text is not None:
            yield self._reply.text
            return
        self._effects.begin_again()
        messages = list(self._reply.messages)
        offered = self._offered()
        for tools in (*[offered] * (MAX_TOOL_ROUNDS if offered else 0), ()):
            answer = _Round()
            async with aclosing(self._spoken(messages, tools, answer)) as clauses:
                async for clause in clauses:
                    yield clause
            calls = answer.calls[: MAX_CALLS if tools else 0]
            for call in answer.calls[len(calls) :]:
                self._note(call, Result("refused", ""))
            if not calls:
                break
            self.owed = True
            messages.append(Message("assistant", " ".join(answer.said), tool_calls=tuple(calls)))
            async with aclosing(self._carried_out(answer, calls, messages)) as parts:
                async for part in parts:
                    yield part
            if not answer.unanswered:
                break
        self.owed = False
        if not self._said:
            yield self._words_for(self.action)

    def _offered(self) -> tuple[Tool, ...]:
        tools = self._reply.tools
        return tools.offered if tools is not None and self._asking.generator.calls_tools else ()

    def _words_for(self, action: Action) -> str:
        """What is said where the model has no words."""
        settings = self._asking.settings
        match action:
            case Action.HANG_UP:
                return settings.goodbye_message
            case Action.TRANSFER:
                return settings.transfer_message
            case Action.LISTEN:
                return settings.way_out_message

    # Its words

    async def _spoken(
        self, messages: Sequence[Message], tools: Sequence[Tool], answer: _Round
    ) -> AsyncGenerator[str, None]:
        async with aclosing(self._clauses(messages, tools, answer)) as clauses:
            async for clause in clauses:
                if self._admits(clause, answer):
                    yield clause

    async def _clauses(
        self, messages: Sequence[Message], tools: Sequence[Tool], answer: _Round
    ) -> AsyncGenerator[str, None]:
        aggregator = ClauseAggregator()
        asking = self._asking
        async with aclosing(
            asking.generator.generate(messages, asking.parameters, asking.session_id, tools)
        ) as generated:
            async for each in generated:
                if isinstance(each, TakenOver):
                    aggregator = ClauseAggregator()
                    answer.begin_again()
                elif isinstance(each, ToolCall):
                    answer.calls.append(each)
                else:
                    for clause in aggregator.feed(each):
                        yield clause
                        if answer.over:
                            break
                if answer.over:
                    if tools:
                        await _wait_for_calls(generated, answer)
                    return
        for clause in aggregator.flush():
            yield clause

    def _admits(self, clause: str, answer: _Round) -> bool:
        """Whether a clause of the model's is spoken; what follows a wrong or repeated one rests on it."""
        grounded = self._asking.settings.grounded
        facts = invented(clause, (*self._given, *self._said)) if grounded else set()
        repeated = clause in answer.begun
        if facts or repeated:
            metrics.UNGROUNDED.inc(bool(facts))
            log.info("clause held back", extra={"facts": len(facts), "repeated": repeated})
            answer.over, answer.held_back = True, bool(facts)
            return False
        answer.begun.append(clause)
        if clause in self._said:
            # By the provider that this one took over from, or before a tool was called.
            return False
        self._said.append(clause)
        answer.said.append(clause)
        answer.over = sum(map(ends_sentence, answer.said)) >= self._asking.settings.max_sentences
        return True

    # What it asks for

    async def _carried_out(
        self, answer: _Round, calls: Sequence[ToolCall], messages: list[Message]
    ) -> AsyncGenerator[Part, None]:
        """Does what was asked, and adds each result to the messages."""
        tools = self._reply.tools
        assert tools is not None
        for call in calls:
            asked = _understood(tools, call)
            if isinstance(asked, Follow | Press | Fetch):
                yield Pause.UNTIL_TAKEN
            match asked:
                case Result():
                    result = asked
                case Found(text):
                    result = Result("done", text or NOTHING_FOUND, is_fact=bool(text))
                case Fetch():
                    result = await self._asking.requests.fetch(asked, self._effects)
                case Follow() | Press() if answer.held_back:
                    result = _NOT_SPOKEN
                case Press(digits):
                    keys = self._effects.press(digits)
                    result = _ALREADY if keys is None else _PROMISED
                    if keys is not None:
                        yield keys
                case Follow(action):
                    result = _PROMISED if self.action is Action.LISTEN else _ALREADY
                    self.action = action if self.action is Action.LISTEN else self.action
            answer.unanswered = answer.unanswered or result.outcome == "refused" or not isinstance(asked, Follow)
            self._note(call, result)
            if result.is_fact:
                self._given.append(result.text)
            messages.append(Message("tool", result.text, tool_call_id=call.call_id))

    def _note(self, call: ToolCall, result: Result) -> None:
        label = self._reply.tools.label(call) if self._reply.tools is not None else UNKNOWN
        metrics.TOOL_CALLS.labels(label, result.outcome).inc()
        log.info("tool called", extra={"tool": label, "outcome": result.outcome})


def _understood(tools: Toolbox, call: ToolCall) -> Request | Result:
    try:
        return tools.understand(call)
    except ArgumentError as error:
        return Result("refused", str(error))


async def _wait_for_calls(generated: AsyncGenerator[Generated, None], answer: _Round) -> None:
    """Reads what the model still asks for; its further words are not spoken."""
    try:
        async with asyncio.timeout(CALLS_AFTER_WORDS_S):
            async for each in generated:
                if isinstance(each, TakenOver):
                    answer.begin_again()
                elif isinstance(each, ToolCall):
                    answer.calls.append(each)
    except (TimeoutError, ProviderError) as error:
        log.info("the end of an answer was not waited for", extra={"error": type(error).__name__})
