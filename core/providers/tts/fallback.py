"""Voices of which each takes over from the one before it, within the clause."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from core.errors import ProviderError
from core.providers.base import Synthesizer
from core.providers.member import Candidates, Member, note_takeover
from core.providers.settings import TtsSettings
from core.providers.supply import Leaving, Supply

# What a voice takes for a character at its own speed, about.
CHARACTER_S = 0.065
# Of the length so estimated, as much is taken for spoken: a word said twice is heard, one left out is missed.
SURELY_SPOKEN = 0.8


class FallbackSynthesizer:
    """A `Synthesizer` made of several. It does not close them: they may be shared.

    A voice that fails after some audio is followed by another that goes on near the word it had come to, rather than
    with the clause from its beginning: the caller waits less for what they have not heard, and the audio stays as
    long as the text, by which is known which words they heard.
    """

    def __init__(self, members: Sequence[Member[Synthesizer]], settings: TtsSettings) -> None:
        self._members = tuple(members)
        self._budget_s = settings.budget_ms / 1000
        self._character_s = CHARACTER_S / (settings.speaking_rate or 1.0)
        self._leaving = Leaving()
        self.name = self._members[0].provider.name

    @property
    def ready(self) -> bool:
        return any(member.provider.ready for member in self._members)

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        candidates = Candidates(self._members)
        member = candidates.next()
        heard_until_s = clock()
        while member is not None:
            spoken_s = 0.0
            supply = Supply(member, member.provider.synthesize(text, sample_rate_hz), self._leaving)
            try:
                while True:
                    # Audio is made faster than it is heard: what is still to be heard is time won.
                    left_s = max(0.0, heard_until_s - clock())
                    pcm = await supply.next(self._budget_s + left_s if candidates.replaceable else None)
                    if pcm is None:
                        return
                    length_s = len(pcm) / 2 / sample_rate_hz
                    spoken_s += length_s
                    heard_until_s = max(heard_until_s, clock()) + length_s
                    yield pcm
            except ProviderError as error:
                supply.leave()
                successor = candidates.next()
                if successor is None:
                    raise
                note_takeover("tts", error, member, successor)
            finally:
                await supply.close()
            text = rest(text, spoken_s / self._character_s)
            member = successor

    async def close(self) -> None:
        """Leaves the members open."""
        await self._leaving.stopped()


def rest(text: str, spoken: float) -> str:
    """What is left of a text of which about so many characters were spoken: at least its last word."""
    reached = min(SURELY_SPOKEN * spoken, len(text.rstrip()) - 1)
    return text[text.rfind(" ", 0, int(reached) + 1) + 1 :]
