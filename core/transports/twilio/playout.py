"""What the caller is to hear, what was sent of it, and what was played.

Twilio keeps what it is sent and plays it at its own pace. It is sent a bounded lead, so that `clear` has little to drop
and a slow network is not heard; marks between short stretches come back when what lies before them was played.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import CallEnded
from core.transports.twilio.messages import SAMPLE_RATE_HZ

_BYTES_PER_SAMPLE = 2
_BYTES_PER_S = SAMPLE_RATE_HZ * _BYTES_PER_SAMPLE
_BYTES_PER_MS = _BYTES_PER_S // 1000
PTIME_MS = 20
_PIECE_BYTES = PTIME_MS * _BYTES_PER_MS
# How finely it is known what was heard.
MARK_INTERVAL_MS = 60
_MARK_INTERVAL_BYTES = MARK_INTERVAL_MS * _BYTES_PER_MS
# `put` waits while more is unsent.
_UNSENT_MS = 80


@dataclass(frozen=True, slots=True)
class Audio:
    """To be sent now."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class MarkWanted:
    """To be sent now: its return says that the audio before it was played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """To be sent now: what was sent and not played shall not be."""


Outgoing = Audio | MarkWanted | Clear


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Audio that was sent, up to a mark. Without its return it counts as played from `overdue_at_s` on."""

    mark: str
    size_bytes: int
    overdue_at_s: float


class Playout:
    """One call's audio on its way to Twilio. For use on one event loop.

    Args:
        clock: the event loop's own time, monotonic seconds.
    """

    def __init__(self, lead_ms: int, mark_overdue_s: float, clock: Callable[[], float]) -> None:
        self._lead_s = lead_ms / 1000
        self._mark_overdue_s = mark_overdue_s
        self._clock = clock
        self._unsent = bytearray()
        self._unmarked_bytes = 0
        # At most the lead, in stretches of at least a piece.
        self._marked: deque[_Stretch] = deque()
        self._marks = 0
        # Whether Twilio has said so of all that it was sent.
        self._all_back = True
        self._played_bytes = 0
        self._plays_until_s = 0.0
        self._clear_wanted = False
        self._streaming = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self.marks_overdue = 0

    # The speaker's side.

    async def put(self, pcm: bytes) -> None:
        """Queues audio; waits while more than a little is unsent. What `clear` drops is not waited for."""
        if self._closed:
            raise CallEnded("the call is not up")
        self._unsent += pcm
        self._news.set()
        while len(self._unsent) > _UNSENT_MS * _BYTES_PER_MS:
            self._room.clear()
            await self._room.wait()
            if self._closed:
                raise CallEnded("the call is not up")

    def clear(self) -> None:
        """Drops what was not played. Marks that are still to come back say nothing any more."""
        if not self._all_back or self._plays_until_s > self._clock():
            self._clear_wanted = True
        self._forget_sent()
        self._unsent.clear()
        self._room.set()
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self.clear()

    @property
    def queued_ms(self) -> float:
        """Not known to have been played: unsent, or sent and not yet overdue."""
        self._expire()
        in_flight = self._unmarked_bytes + sum(stretch.size_bytes for stretch in self._marked)
        return (_whole_samples(len(self._unsent)) + in_flight) / _BYTES_PER_MS

    @property
    def played_ms(self) -> float:
        self._expire()
        return self._played_bytes / _BYTES_PER_MS

    # The stream's side.

    def begin(self) -> None:
        """There is a stream to send to."""
        self._streaming = True
        self._news.set()

    def suspend(self) -> None:
        """The stream is gone, and with it what was sent and not played; what is unsent waits for the next."""
        self._streaming = False
        self._clear_wanted = False
        self._forget_sent()

    async def take(self) -> Outgoing:
        """What is to be sent next, as soon as it is to be sent.

        Raises:
            CallEnded: nothing will be.
        """
        while not self._closed:
            self._news.clear()
            if not self._streaming:
                await self._news.wait()
                continue
            if self._clear_wanted:
                self._clear_wanted = False
                return Clear()
            unsent = _whole_samples(len(self._unsent))
            if self._unmarked_bytes and (not unsent or self._unmarked_bytes >= _MARK_INTERVAL_BYTES):
                return self._mark()
            if not unsent:
                await self._news.wait()
                continue
            size = min(unsent, _PIECE_BYTES)
            due_s = self._plays_until_s + size / _BYTES_PER_S - self._lead_s
            if due_s <= self._clock():
                return self._piece(size)
            try:
                async with asyncio.timeout_at(due_s):
                    await self._news.wait()
            except TimeoutError:
                pass
        raise CallEnded("the call is not up")

    def heard(self, mark: str) -> bool:
        """A mark has come back; whether it was waited for. Those before it were lost, and are as good as back."""
        if mark == str(self._marks) and not self._unmarked_bytes:
            self._all_back = True
        if all(stretch.mark != mark for stretch in self._marked):
            return False
        while True:
            stretch = self._marked.popleft()
            self._played_bytes += stretch.size_bytes
            if stretch.mark == mark:
                return True

    def _piece(self, size: int) -> Audio:
        pcm = bytes(self._unsent[:size])
        del self._unsent[:size]
        self._plays_until_s = max(self._clock(), self._plays_until_s) + size / _BYTES_PER_S
        self._unmarked_bytes += size
        self._all_back = False
        if len(self._unsent) <= _UNSENT_MS * _BYTES_PER_MS:
            self._room.set()
        return Audio(pcm)

    def _mark(self) -> MarkWanted:
        self._marks += 1
        name = str(self._marks)
        self._marked.append(_Stretch(name, self._unmarked_bytes, self._plays_until_s + self._mark_overdue_s))
        self._unmarked_bytes = 0
        return MarkWanted(name)

    def _forget_sent(self) -> None:
        self._marked.clear()
        self._unmarked_bytes = 0
        self._all_back = True
        self._plays_until_s = 0.0

    def _expire(self) -> None:
        now_s = self._clock()
        while self._marked and self._marked[0].overdue_at_s <= now_s:
            self._played_bytes += self._marked.popleft().size_bytes
            self.marks_overdue += 1


def _whole_samples(size_bytes: int) -> int:
    """A half waits for its other half, and nobody waits for it."""
    return size_bytes - size_bytes % _BYTES_PER_SAMPLE
