"""What one call has told and nobody has taken yet."""

import asyncio
from collections import deque

from core.leg import AudioReceived, LegEnded, LegEvent
from core.observability import metrics


class EventQueue:
    """Bounded: a reader that stays away loses the oldest audio first, and keys only when there is nothing else.

    Attributes:
        dropped: events that nobody took in time.
        last: what ended it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events: deque[LegEvent] = deque()
        self._news = asyncio.Event()
        self.dropped = 0
        self.last: LegEnded | None = None

    def put(self, event: LegEvent) -> None:
        if self.last is not None:
            return
        if len(self._events) >= self._capacity:
            self._drop_one()
        self._events.append(event)
        self._news.set()

    def end(self, last: LegEnded) -> None:
        """Nothing follows it, and what was not taken is not worth taking any more."""
        self.last = last
        self._events.clear()
        self._news.set()

    async def take(self) -> LegEvent:
        while not self._events:
            if self.last is not None:
                return self.last
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    def _drop_one(self) -> None:
        oldest = next((index for index, event in enumerate(self._events) if isinstance(event, AudioReceived)), 0)
        del self._events[oldest]
        self.dropped += 1
        metrics.TWILIO_FRAMES_DISCARDED.labels("unread").inc()
