"""One call's media as its event loop uses it: hear, play, press keys."""

import asyncio
import logging
from collections.abc import Callable
from random import Random

from core.audio.concealment import Concealer
from core.errors import CallEnded
from core.leg import AudioReceived, DigitReceived, LegStatistics
from core.media.counters import MediaCounters
from core.media.inbox import Heard, Inbox, MediaInactive, Missing
from core.media.playout_queue import PlayoutQueue
from core.media.settings import MediaSettings
from core.media.wire import Socket, Wire
from core.rtp.dtmf import KEYS
from core.sdp.media_parameters import MediaParameters

log = logging.getLogger(__name__)

# Five seconds of packets.
_INBOX_CAPACITY = 250


class MediaStream:
    """Created and used on one event loop; the wheel moves its `wire`.

    Methods raise `CallEnded` once the stream is closed, except where said.
    """

    def __init__(
        self,
        settings: MediaSettings,
        rtp: Socket,
        rtcp: Socket,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        random: Random,
        on_connect: Callable[["MediaStream"], None],
        on_close: Callable[["MediaStream"], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.local_port = rtp.port
        self.counters = MediaCounters()
        self._on_connect = on_connect
        self._on_close = on_close
        self._queue = PlayoutQueue(settings.lead_ms)
        self._inbox = Inbox(_INBOX_CAPACITY, self.counters)
        self.wire = Wire(
            settings,
            rtp,
            rtcp,
            self._queue,
            self._inbox,
            self.counters,
            self,
            on_failure=self._fail,
            clock=clock,
            wall_clock=wall_clock,
            random=random,
        )
        self._parameters: MediaParameters | None = None
        self._concealer: Concealer | None = None
        self._reader: asyncio.Future[None] | None = None
        self._closed = False

    def connect(self, parameters: MediaParameters) -> None:
        """What was agreed on holds from now on, for the first time and after every re-negotiation.

        The caller's source is looked for anew; numbers and timestamps of ours go on.

        Raises:
            OSError: the remote address is no IPv4 literal.
        """
        self.wire.connect(parameters)
        first, self._parameters = self._parameters is None, parameters
        if self._concealer is None:
            self._concealer = Concealer(parameters.codec.sample_rate_hz)
        if first:
            self._on_connect(self)

    async def receive(self) -> AudioReceived | DigitReceived | MediaInactive:
        """The caller's next audio, in order and without a gap in time, or the next key, or a lack of both."""
        while not self._closed:
            item = self._inbox.take()
            if isinstance(item, Heard):
                return self._decode(item)
            if isinstance(item, Missing):
                return self._stand_in(item)
            if item is not None:
                return item
            await self._wait_for_news()
        raise CallEnded

    async def play(self, pcm: bytes) -> None:
        """Queues audio for the caller, waiting while more than the lead is queued.

        Less than a packet's worth waits for the next call, and goes out filled up with silence if none comes in time.
        """
        if self._parameters is None:
            raise RuntimeError("Nothing can be played before the stream is connected")
        await self._queue.put(pcm)

    def clear(self) -> None:
        """Drops what is queued, and what a waiting `play` holds: the next packet is silence. Never raises."""
        self._queue.clear()

    @property
    def queued_ms(self) -> float:
        return self._queue.queued_ms

    @property
    def played_ms(self) -> float:
        return self._queue.played_ms

    @property
    def can_send_digits(self) -> bool:
        """Whether the caller's side takes telephone events."""
        return self._parameters is not None and self._parameters.dtmf_payload_type is not None

    def send_digits(self, digits: str) -> None:
        """Presses keys, one after the other, behind what is queued.

        Raises:
            ValueError: a character is no key, or the caller's side takes none.
        """
        if self._closed:
            raise CallEnded
        if any(digit.upper() not in KEYS for digit in digits):
            raise ValueError("Not a key: only 0-9 * # A-D can be sent")
        if not self.can_send_digits:
            raise ValueError("The caller's side takes no telephone events")
        self._queue.put_digits(digits)

    def statistics(self) -> LegStatistics:
        """Never raises; final once the stream is closed."""
        return self.wire.statistics()

    def close(self) -> None:
        """Says goodbye over RTCP and gives the port back. Harmless if closed. Never raises."""
        if not self.wire.close():
            return
        self._closed = True
        self._on_close(self)
        self._queue.close()
        self.wake()

    @property
    def wants_waking(self) -> bool:
        """Whether somebody waits for what there is now. Asked on the wheel's thread."""
        return (self._reader is not None and len(self._inbox) > 0) or self._queue.wants_waking

    def wake(self) -> None:
        """There may be news for a reader, or room for a player."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self._queue.wants_waking:
            self._queue.wake()

    def _fail(self, error: Exception) -> None:
        """On the wheel's thread."""
        log.error("media stream failed", exc_info=error, extra={"local_port": self.local_port})
        try:
            self.loop.call_soon_threadsafe(self.close)
        except RuntimeError:
            # Its loop has ended without it.
            self.close()

    def _decode(self, heard: Heard) -> AudioReceived:
        assert self._concealer is not None
        pcm = self._concealer.receive(heard.codec.decode(heard.payload))
        return AudioReceived(pcm, heard.arrived_at_s)

    def _stand_in(self, missing: Missing) -> AudioReceived:
        assert self._concealer is not None
        assert self._parameters is not None
        samples = round(missing.seconds * self._parameters.codec.sample_rate_hz)
        if missing.pause:
            self._concealer.reset()
            return AudioReceived(bytes(2 * samples), missing.at_s, concealed=True)
        return AudioReceived(self._concealer.conceal(samples), missing.at_s, concealed=True)

    async def _wait_for_news(self) -> None:
        self._reader = self.loop.create_future()
        try:
            # The wheel may have brought something before it could see that somebody waits.
            if not len(self._inbox) and not self._closed:
                await self._reader
        finally:
            self._reader = None
