"""A language model that calls tools as a test says."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from core.providers.base import Generated, GenerationParameters, Message, Tool

# What a model does in one answer: what it yields, errors it raises, and events it waits for.
Step = Generated | Exception | asyncio.Event


class ToolCallingGenerator:
    """Gives its answers one after the other, the last one again and again; remembers what it was asked and offered."""

    name = "tool calling"
    calls_tools = True
    ready = True

    def __init__(self, *answers: Sequence[Step]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[Message, ...]] = []
        self.offered: list[tuple[str, ...]] = []

    async def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        self.asked.append(tuple(messages))
        self.offered.append(tuple(tool.name for tool in tools))
        for step in self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]:
            await asyncio.sleep(0)
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                yield step

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """Is always warm."""

    async def end_session(self, session_id: str) -> None:
        """Keeps no sessions."""

    async def close(self) -> None:
        """Holds nothing."""
