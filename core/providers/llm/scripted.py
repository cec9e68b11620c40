"""A language model that always answers alike: for load tests and for trying a configuration without models."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from core.providers.base import GenerationParameters, Message, Tool
from core.providers.settings import LlmSettings

NAME = "scripted"
SETTINGS = None
ANSWER = "That is a good question, and I would have to ask a colleague about it."
WORD_S = 0.02


class ScriptedGenerator:
    """Gives the same words to every question, one at a time; remembers what it was asked."""

    name = NAME
    calls_tools = False
    ready = True

    def __init__(self, answer: str = ANSWER, word_s: float = WORD_S) -> None:
        self._answer = answer
        self._word_s = word_s
        self.asked: list[tuple[Message, ...]] = []

    async def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[str, None]:
        self.asked.append(tuple(messages))
        for number, word in enumerate(self._answer.split()):
            await asyncio.sleep(self._word_s)
            yield f" {word}" if number else word

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """Is always warm."""

    async def end_session(self, session_id: str) -> None:
        """Keeps no sessions."""

    async def close(self) -> None:
        """Holds nothing."""


def build(settings: LlmSettings, own: None) -> ScriptedGenerator:
    return ScriptedGenerator()
