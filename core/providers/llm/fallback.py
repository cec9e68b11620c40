"""Language models of which each takes over from the one before it, within the answer."""

from collections.abc import AsyncGenerator, Sequence

from core.providers.base import Generated, GenerationParameters, Generator, Message, Tool
from core.providers.member import Member
from core.providers.settings import LlmSettings


class FallbackGenerator:
    """A `Generator` made of several. It does not close them: they may be shared."""

    def __init__(self, members: Sequence[Member[Generator]], settings: LlmSettings) -> None:
        self._members = tuple(members)
        self._settings = settings
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
        provider = self._members[0].provider
        async for generated in provider.generate(messages, parameters, session_id, tools):
            yield generated

    async def warm_up(self, messages: Sequence[Message], session_id: str) -> None:
        await self._members[0].provider.warm_up(messages, session_id)

    async def end_session(self, session_id: str) -> None:
        await self._members[0].provider.end_session(session_id)

    async def close(self) -> None:
        """Leaves the members open."""
