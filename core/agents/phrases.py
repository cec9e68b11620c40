"""What agents always say alike, rendered ahead of calls: one book of phrases for each voice."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from core.pipeline.phrase_book import PhraseBook
from core.providers.pool import Lease
from core.providers.settings import TtsSettings

BOOK_BYTES = 32 * 2**20
# Every phone call speaks G.711; for wider codecs only what must be said with the voice away is kept.
PHONE_RATE_HZ = 8000
WIDE_RATE_HZ = 16000
URGENT_PHRASES = 8


@dataclass(slots=True)
class _Voice:
    """A voice's book, and the phrases of each agent that speaks with it, the most urgent first."""

    book: PhraseBook
    of_agents: list[Sequence[str]] = field(default_factory=list)

    def phrases(self, most: int | None = None) -> Iterable[str]:
        return dict.fromkeys(phrase for each in self.of_agents for phrase in each[:most])


class FixedPhrases:
    """The books of one configuration's agents."""

    def __init__(self) -> None:
        self._voices: dict[tuple[object, ...], _Voice] = {}

    def book(self, lease: Lease, phrases: Sequence[str]) -> PhraseBook:
        """The book of an agent that speaks with the lease's voice, and says these phrases."""
        key = lease.members(TtsSettings)
        if key not in self._voices:
            self._voices[key] = _Voice(PhraseBook(lease.providers.synthesizer, BOOK_BYTES))
        voice = self._voices[key]
        voice.of_agents.append(phrases)
        return voice.book

    def take_over(self, earlier: "FixedPhrases") -> None:
        """Keeps what the same voices have said already."""
        for key, voice in self._voices.items():
            if key in earlier._voices:
                voice.book.take_over(voice.phrases(), earlier._voices[key].book)

    async def render_first(self) -> None:
        """The first phrase of the first agent: what most callers hear first."""
        voice = next(iter(self._voices.values()))
        await voice.book.render(voice.of_agents[0][:1], PHONE_RATE_HZ)

    async def render_for_phones(self) -> None:
        """All of them as telephones need them, greetings first; waits for each voice as long as it takes."""
        async with asyncio.TaskGroup() as group:
            for voice in self._voices.values():
                group.create_task(self._render_for_phones(voice))

    async def render(self) -> None:
        """All of them, in every way they are kept."""
        await self.render_for_phones()
        async with asyncio.TaskGroup() as group:
            for voice in self._voices.values():
                group.create_task(voice.book.render(voice.phrases(URGENT_PHRASES), WIDE_RATE_HZ))

    async def _render_for_phones(self, voice: _Voice) -> None:
        for most in (1, None):
            await voice.book.render(voice.phrases(most), PHONE_RATE_HZ)
