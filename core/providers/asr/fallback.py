"""Recognisers of which each takes over from the one before it, within the turn."""

from collections.abc import Sequence

from core.providers.base import RecognitionStream, Recognizer
from core.providers.member import Member
from core.providers.settings import AsrSettings


class FallbackRecognizer:
    """A `Recognizer` made of several. It does not close them: they may be shared."""

    def __init__(self, members: Sequence[Member[Recognizer]], settings: AsrSettings) -> None:
        self._members = tuple(members)
        self._settings = settings
        self.name = self._members[0].provider.name

    @property
    def ready(self) -> bool:
        return any(member.provider.ready for member in self._members)

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        return await self._members[0].provider.open(sample_rate_hz, phrases)

    async def close(self) -> None:
        """Leaves the members open."""
