"""Language models of which each takes over from the one before it, within the answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from core.errors import ProviderError
from core.providers.base import Generated, GenerationParameters, Generator, Message, TakenOver, Tool, ToolCall
from core.providers.member import Candidates, Member, note_takeover
from core.providers.settings import LlmSettings
from core.providers.supply import Leaving, Supply

# What a session's end waits for, of models that it does not matter to any more.
END_SESSION_TIMEOUT_S = 3.0


class FallbackGenerator:
    """A `Generator` made of several. It does not close them: they may be shared.

    The first words, and each that follow, are waited for as long as `budget_ms` says, while a healthy model stands
    behind the one that is asked; the last is waited for as long as the caller is.
    """

    def __init__(self, members: Sequence[Member[Generator]], settings: LlmSettings) -> None:
        self._members = tuple(members)
        self._budget_s = settings.budget_ms / 1000
        self._leaving = Leaving()
        # Who holds something of a session; it goes with `end_session`.
        self._seen: dict[str, list[Generator]] = {}
        self.name = self._members[0].provider.name

    @property
    def calls_tools(self) -> bool:
        return any(member.provider.calls_tools for member in self._members)

    @property
    def ready(self) -> bool:
        return any(member.provider.ready for member in self._members)

    async def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        """The answer; `TakenOver` where another model begins it again after some of it was yielded."""
        candidates = Candidates(self._members)
        member = candidates.next()
        begun = called = False
        while member is not None:
            supply = Supply(member, self._ask(member.provider, messages, parameters, session_id, tools), self._leaving)
            try:
                while (piece := await supply.next(self._patience_s(candidates))) is not None:
                    begun = True
                    called = called or isinstance(piece, ToolCall)
                    yield piece
                return
            except ProviderError as error:
                supply.leave()
                successor = candidates.next()
                if called:
                    # The answer ends with the call: it goes on when the result is there.
                    return
                if successor is None:
                    raise
                note_takeover("llm", error, member, successor)
            finally:
                await supply.close()
            if begun:
                yield TakenOver(successor.provider.name)
            member = successor

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """Warms the model that would be asked now; another only where that one fails.

        A prompt costs each model as much as an answer does: those that will seldom be asked are spared it.
        """
        candidates = Candidates(self._members)
        member = candidates.next()
        while member is not None:
            self._note_seen(session_id, member.provider)
            trial = member.breaker.began()
            try:
                await member.provider.warm_up(messages, session_id, tools if member.provider.calls_tools else ())
                return
            except ProviderError as error:
                trial.failed(error)
                successor = candidates.next()
                if successor is None:
                    raise
                note_takeover("llm", error, member, successor)
                member = successor
            finally:
                # That it could read the prompt does not say that it can answer.
                trial.abandoned()

    async def end_session(self, session_id: str) -> None:
        seen = self._seen.pop(session_id, [])
        if seen:
            tasks = [asyncio.create_task(provider.end_session(session_id)) for provider in seen]
            try:
                await asyncio.wait(tasks, timeout=END_SESSION_TIMEOUT_S)
            finally:
                for task in tasks:
                    self._leaving.stop(task)

    async def close(self) -> None:
        """Leaves the members open."""
        await self._leaving.stopped()

    def _ask(
        self,
        provider: Generator,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool],
    ) -> AsyncGenerator[Generated, None]:
        self._note_seen(session_id, provider)
        if provider.calls_tools:
            return provider.generate(messages, parameters, session_id, tools)
        return provider.generate(without_tools(messages), parameters, session_id)

    def _patience_s(self, candidates: Candidates[Generator]) -> float | None:
        return self._budget_s if candidates.replaceable else None

    def _note_seen(self, session_id: str, provider: Generator) -> None:
        seen = self._seen.setdefault(session_id, [])
        if provider not in seen:
            seen.append(provider)


def without_tools(messages: Sequence[Message]) -> list[Message]:
    """The messages for a model that knows no tools: what those found out goes with the caller's question."""
    plain: list[Message] = []
    for message in messages:
        if message.role != "tool":
            if message.content or not message.tool_calls:
                plain.append(replace(message, tool_calls=()) if message.tool_calls else message)
            continue
        last = next((index for index in reversed(range(len(plain))) if plain[index].role == "user"), None)
        if last is not None:
            plain[last] = replace(plain[last], content=f"Known facts: {message.content}\n{plain[last].content}")
    return plain
