"""Fixed phrases as rendered audio, so that what is always said alike is said at once, even with the voice away."""

import asyncio
import logging
from collections.abc import Iterable

from core.errors import ProviderError
from core.providers.base import Synthesizer

log = logging.getLogger(__name__)

RETRY_S = 1.0


class PhraseBook:
    """Audio by phrase and sample rate, at most `capacity_bytes`; what does not fit is synthesised when it is said."""

    def __init__(self, synthesizer: Synthesizer, capacity_bytes: int) -> None:
        self._synthesizer = synthesizer
        self._capacity_bytes = capacity_bytes
        self._size_bytes = 0
        self._audio: dict[tuple[str, int], bytes] = {}

    def get(self, phrase: str, sample_rate_hz: int) -> bytes | None:
        """The phrase as 16-bit mono PCM, or None where it has not been rendered."""
        return self._audio.get((phrase, sample_rate_hz))

    def take_over(self, phrases: Iterable[str], earlier: "PhraseBook") -> None:
        """Keeps what another book of the same voice has of these phrases already."""
        wanted = frozenset(phrases)
        for (phrase, sample_rate_hz), pcm in earlier._audio.items():
            if phrase in wanted and (phrase, sample_rate_hz) not in self._audio:
                self._audio[phrase, sample_rate_hz] = pcm
                self._size_bytes += len(pcm)

    async def render(self, phrases: Iterable[str], sample_rate_hz: int) -> None:
        """Renders each phrase that is still missing, waiting for the voice as long as it takes."""
        kept = len(self._audio)
        for phrase in phrases:
            while (phrase, sample_rate_hz) not in self._audio:
                try:
                    pcm = b"".join([piece async for piece in self._synthesizer.synthesize(phrase, sample_rate_hz)])
                except ProviderError as error:
                    if not error.retryable:
                        log.warning("phrase cannot be rendered", extra={"error": str(error)})
                        break
                    await asyncio.sleep(RETRY_S)
                    continue
                if self._size_bytes + len(pcm) > self._capacity_bytes:
                    log.warning("phrase book is full", extra={"capacity_bytes": self._capacity_bytes})
                    return
                self._audio[phrase, sample_rate_hz] = pcm
                self._size_bytes += len(pcm)
        if len(self._audio) > kept:
            log.info("phrases rendered", extra={"count": len(self._audio), "size_bytes": self._size_bytes})
