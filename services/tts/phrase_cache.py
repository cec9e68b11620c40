"""Rendered phrases, the most recently used of them, within a bound of bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Phrase(NamedTuple):
    """What one rendering depends on."""

    text: str
    voice: str
    sample_rate_hz: int
    speaking_rate: float


class PhraseCache:
    """One rendering for all who ask for the same phrase, at once or later. For one event loop.

    Attributes:
        hits: phrases that did not have to be rendered for whoever asked, being kept or already in work.
        misses: phrases rendered.
    """

    def __init__(self, size_max_bytes: int) -> None:
        self._size_max_bytes = size_max_bytes
        self._kept: OrderedDict[Phrase, bytes] = OrderedDict()
        self._in_work: dict[Phrase, asyncio.Future[bytes | None]] = {}
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    async def get(self, phrase: Phrase, render: Callable[[], Awaitable[bytes]]) -> tuple[bytes, bool]:
        """Its PCM, and whether it came without rendering. What `render` raises is raised to all who wait for it."""
        while True:
            kept = self._kept.get(phrase)
            if kept is not None:
                self._kept.move_to_end(phrase)
                self.hits += 1
                return kept, True
            in_work = self._in_work.get(phrase)
            if in_work is None:
                return await self._render(phrase, render), False
            pcm = await asyncio.shield(in_work)
            if pcm is not None:
                self.hits += 1
                return pcm, True
            # Who was rendering it gave up: the next one does it.

    async def _render(self, phrase: Phrase, render: Callable[[], Awaitable[bytes]]) -> bytes:
        self.misses += 1
        in_work: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._in_work[phrase] = in_work
        try:
            pcm = await render()
        except asyncio.CancelledError:
            in_work.set_result(None)
            raise
        except Exception as error:
            in_work.set_exception(error)
            # It is reported here; that nobody else waits for it is no reason to report it again.
            in_work.exception()
            raise
        else:
            in_work.set_result(pcm)
            self._keep(phrase, pcm)
            return pcm
        finally:
            del self._in_work[phrase]

    def _keep(self, phrase: Phrase, pcm: bytes) -> None:
        if len(pcm) > self._size_max_bytes:
            return
        self._kept[phrase] = pcm
        self.size_bytes += len(pcm)
        while self.size_bytes > self._size_max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.size_bytes -= len(dropped)
