"""One call's media: created and used on one event loop, moved by the wheel's thread."""

import asyncio
import logging
import threading
from collections.abc import Callable
from random import Random
from typing import Protocol

from core.audio.concealment import Concealer
from core.errors import CallEnded
from core.leg import AudioReceived, DigitReceived, LegStatistics
from core.media.control import ControlSession
from core.media.counters import MediaCounters
from core.media.datagram_socket import MAX_BATCH, Datagram, encode_address
from core.media.handover import Handover
from core.media.inbound import Inbound
from core.media.inbox import Heard, Inbox, MediaInactive, Missing
from core.media.outbound import Outbound
from core.media.playout_queue import PlayoutQueue
from core.media.receive_phase import ReceivePhase
from core.media.settings import MediaSettings
from core.media.source_lock import SourceLock
from core.media.wheel import PERIOD_S
from core.rtp import emodel
from core.rtp.dtmf import KEYS
from core.rtp.packet import RtpError, is_rtcp
from core.sdp.media_parameters import MediaParameters

log = logging.getLogger(__name__)

_PERIOD_MS = PERIOD_S * 1000
# A flood at the port is read away this fast, and no faster: other calls have packets to send.
_MOST_BATCHES = 16
# RTCP is in no hurry; its arrival is stamped by the kernel all the same.
_CONTROL_PERIODS = 50
# Five seconds of packets.
_INBOX_CAPACITY = 250
# Playing out adds about a packet time at the far end, and ours to that of the network.
_END_DELAY_MS = 40.0


class Sockets(Protocol):
    """A bound UDP socket, as `datagram_socket.DatagramSocket` is one."""

    port: int

    def send(self, data: bytes, destination: bytes) -> bool: ...

    def receive(self) -> list[Datagram]: ...

    def close(self) -> None: ...


class MediaStream:
    """RTP both ways. Every method but those of `wheel.Rider` belongs to `loop`.

    Methods raise `CallEnded` once the stream is closed, except where said.
    """

    def __init__(
        self,
        settings: MediaSettings,
        rtp: Sockets,
        rtcp: Sockets,
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
        self._rtp = rtp
        self._rtcp = rtcp
        self._clock = clock
        self._on_connect = on_connect
        self._on_close = on_close
        # Held for a packet's time at most, by whoever changes the call: the wheel or its loop.
        self._held = threading.Lock()
        self._parameters: MediaParameters | None = None
        self._remote_rtcp: bytes | None = None
        self._queue = PlayoutQueue(settings.lead_ms)
        self._inbox = Inbox(_INBOX_CAPACITY, self.counters)
        self._source = SourceLock(settings.latch, settings.latch_packets)
        self._outbound = Outbound(self._queue, random)
        self._inbound = Inbound(
            self._inbox,
            self._source,
            self.counters,
            reorder_ms=settings.reorder_ms,
            inactivity_s=settings.inactivity_s,
            hold_inactivity_s=settings.hold_inactivity_s,
        )
        self._control = ControlSession(self._outbound.sender, settings.rtcp_interval_s, wall_clock, random)
        self._concealer: Concealer | None = None
        self._phase = ReceivePhase()
        self._credit_ms = 0.0
        self._last_send_s = clock()
        self._periods_to_control = random.randrange(_CONTROL_PERIODS)
        self._reader: asyncio.Future[None] | None = None
        self._closed = False

    def connect(self, parameters: MediaParameters) -> None:
        """What was agreed on holds from now on, for the first time and after every re-negotiation.

        The caller's source is looked for anew; numbers and timestamps of ours go on.

        Raises:
            OSError: the remote address is no IPv4 literal.
        """
        if self._closed:
            raise CallEnded
        remote = encode_address(parameters.remote_address)
        remote_rtcp = None if parameters.remote_rtcp is None else encode_address(parameters.remote_rtcp)
        with self._held:
            first = self._parameters is None
            self._queue.configure(parameters.codec, parameters.ptime_ms)
            self._source.expect(remote)
            self._remote_rtcp = remote_rtcp
            self._outbound.configure(parameters)
            self._inbound.configure(parameters, self._clock())
            self._parameters = parameters
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
        buffer, reception, counters = self._inbound.buffer, self._inbound.reception, self.counters
        lost = max(0, buffer.packets_lost - buffer.packets_late)
        received = reception.packets_received
        return LegStatistics(
            packets_sent=self._outbound.sender.packets_sent,
            packets_received=received,
            packets_lost=lost,
            packets_late=buffer.packets_late,
            packets_duplicated=buffer.packets_duplicated,
            packets_discarded=buffer.packets_discarded
            + counters.malformed
            + counters.foreign
            + counters.unknown_payload,
            jitter_ms=reception.jitter_ms,
            mos=self._estimate_mos(received),
        )

    def close(self) -> None:
        """Says goodbye over RTCP and gives the port back. Harmless if closed. Never raises."""
        with self._held:
            if self._closed:
                return
            self._closed = True
            if self._parameters is not None:
                self._report(self._clock(), goodbye=True)
            self._rtp.close()
            self._rtcp.close()
        self._on_close(self)
        self._queue.close()
        self.wake()

    def wake(self) -> None:
        """There may be news for a reader, or room for a player. Called on the loop."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self._queue.wants_waking:
            self._queue.wake()

    def send(self, now: float) -> None:
        with self._held:
            if self._closed or self._parameters is None:
                return
            self._last_send_s = now
            self._credit_ms += _PERIOD_MS
            ptime_ms = self._parameters.ptime_ms
            while self._credit_ms >= ptime_ms:
                self._credit_ms -= ptime_ms
                datagram = self._outbound.next_packet()
                if datagram is not None and not self._rtp.send(datagram, self._source.destination):
                    self.counters.send_errors += 1

    def receive_due(self, now: float, handover: Handover) -> int:
        with self._held:
            if self._closed or self._parameters is None:
                return 0
            for _ in range(_MOST_BATCHES):
                datagrams = self._rtp.receive()
                for datagram in datagrams:
                    if is_rtcp(datagram.data):
                        self._take_control(datagram, now)
                    elif self._inbound.take(datagram):
                        self._phase.note(now - datagram.arrived_at_s)
                if len(datagrams) < MAX_BATCH:
                    break
            self._inbound.advance(now)
            self._periods_to_control -= 1
            if self._periods_to_control < 0:
                self._periods_to_control = _CONTROL_PERIODS
                self._service_control(now)
        if (self._reader is not None and len(self._inbox)) or self._queue.wants_waking:
            handover.tell(self)
        return self._phase.earlier()

    def skip(self, periods: int) -> None:
        with self._held:
            self._outbound.skip(periods * _PERIOD_MS)

    def fail(self, error: Exception) -> None:
        log.error("media stream failed", exc_info=error, extra={"local_port": self.local_port})
        try:
            self.loop.call_soon_threadsafe(self.close)
        except RuntimeError:
            # Its loop has ended without it.
            self.close()

    def _service_control(self, now: float) -> None:
        for datagram in self._rtcp.receive():
            self._take_control(datagram, now)
        if self._control.due(now):
            self._report(now)

    def _take_control(self, datagram: Datagram, now: float) -> None:
        if not self._source.accepts_control(datagram.source):
            self.counters.foreign += 1
            return
        try:
            self._control.receive(datagram.data, self._inbound.reception, datagram.arrived_at_s, now)
        except RtpError:
            self.counters.malformed += 1
            return
        self._inbound.heard_of(now)

    def _report(self, now: float, *, goodbye: bool = False) -> None:
        parameters = self._parameters
        if parameters is None or self._remote_rtcp is None:
            return
        rtp_timestamp = self._outbound.timestamp_at(now - self._last_send_s)
        report = self._control.report(self._inbound.reception, rtp_timestamp, now, goodbye=goodbye)
        if parameters.remote_rtcp == parameters.remote_address:
            self._rtp.send(report, self._source.destination)
        else:
            self._rtcp.send(report, self._remote_rtcp)

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

    def _estimate_mos(self, received: int) -> float:
        if not received:
            return 0.0
        buffer = self._inbound.buffer
        loss_percent = 100 * buffer.packets_lost / (received + buffer.packets_lost)
        burst_ratio = emodel.burst_ratio(buffer.packets_lost, buffer.gaps, loss_percent)
        delay_ms = (self._control.round_trip_s or 0.0) * 500 + _END_DELAY_MS
        return emodel.mos(emodel.rating(delay_ms, loss_percent, burst_ratio))
