"""Voices of which each takes over from the one before it, within the clause."""

from collections.abc import AsyncGenerator, Sequence

from core.providers.base import Synthesizer
from core.providers.member import Member
from core.providers.settings import TtsSettings


class FallbackSynthesizer:
    """A `Synthesizer` made of several. It does not close them: they may be shared."""

    def __init__(self, members: Sequence[Member[Synthesizer]], settings: TtsSettings) -> None:
        self._members = tuple(members)
        self._settings = settings
        self.name = self._members[0].provider.name

    @property
    def ready(self) -> bool:
        return any(member.provider.ready for member in self._members)

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        async for pcm in self._members[0].provider.synthesize(text, sample_rate_hz):
            yield pcm

    async def close(self) -> None:
        """Leaves the members open."""
