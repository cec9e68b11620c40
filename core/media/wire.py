"""One call as the wheel moves it: sockets, sending, receiving, reporting."""

import threading
from collections.abc import Callable
from random import Random
from typing import Protocol

from core.errors import CallEnded
from core.leg import LegStatistics
from core.media.control import ControlSession
from core.media.counters import MediaCounters
from core.media.datagram_socket import MAX_BATCH, Datagram, encode_address
from core.media.handover import Handover, Recipient
from core.media.inbound import Inbound
from core.media.inbox import Inbox
from core.media.outbound import Outbound
from core.media.playout_queue import PlayoutQueue
from core.media.receive_phase import ReceivePhase
from core.media.settings import MediaSettings
from core.media.source_lock import SourceLock
from core.media.wheel import PERIOD_S
from core.rtp import emodel
from core.rtp.packet import RtpError, is_rtcp
from core.sdp.media_parameters import MediaParameters

_PERIOD_MS = PERIOD_S * 1000
# A flood at the port is read away this fast, and no faster: other calls have packets to send.
_MOST_BATCHES = 16
# RTCP is in no hurry; its arrival is stamped by the kernel all the same.
_CONTROL_PERIODS = 50
# Playing out adds about a packet time at the far end, and ours to that of the network.
_END_DELAY_MS = 40.0


class Socket(Protocol):
    """A bound UDP socket, as `datagram_socket.DatagramSocket` is one."""

    port: int

    def send(self, data: bytes, destination: bytes) -> bool: ...

    def receive(self) -> list[Datagram]: ...

    def close(self) -> None: ...


class Wire:
    """A rider of the wheel. `connect`, `close` and `statistics` are for the call's loop."""

    def __init__(
        self,
        settings: MediaSettings,
        rtp: Socket,
        rtcp: Socket,
        queue: PlayoutQueue,
        inbox: Inbox,
        counters: MediaCounters,
        recipient: Recipient,
        *,
        on_failure: Callable[[Exception], None],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._rtp = rtp
        self._rtcp = rtcp
        self._queue = queue
        self._counters = counters
        self._recipient = recipient
        self._on_failure = on_failure
        self._clock = clock
        # Held for a packet's time at most, by whoever changes the call: the wheel or the call's loop.
        self._held = threading.Lock()
        self._parameters: MediaParameters | None = None
        self._remote_rtcp: bytes | None = None
        self._source = SourceLock(settings.latch, settings.latch_packets)
        self._outbound = Outbound(queue, random)
        self._inbound = Inbound(
            inbox,
            self._source,
            counters,
            reorder_ms=settings.reorder_ms,
            inactivity_s=settings.inactivity_s,
            hold_inactivity_s=settings.hold_inactivity_s,
        )
        self._control = ControlSession(self._outbound.sender, settings.rtcp_interval_s, wall_clock, random)
        self._phase = ReceivePhase()
        self._credit_ms = 0.0
        self._last_send_s = clock()
        self._periods_to_control = random.randrange(_CONTROL_PERIODS)
        self._closed = False

    def connect(self, parameters: MediaParameters) -> None:
        """Goes over to what was agreed on, between two packets.

        Raises:
            CallEnded: it is closed.
            OSError: the remote address is no IPv4 literal.
        """
        remote = encode_address(parameters.remote_address)
        remote_rtcp = None if parameters.remote_rtcp is None else encode_address(parameters.remote_rtcp)
        with self._held:
            if self._closed:
                raise CallEnded
            self._queue.configure(parameters.codec, parameters.ptime_ms)
            self._source.expect(remote)
            self._remote_rtcp = remote_rtcp
            self._outbound.configure(parameters)
            self._inbound.configure(parameters, self._clock())
            self._parameters = parameters

    def close(self) -> bool:
        """Says goodbye over RTCP and closes the sockets. Whether it was open. Never raises."""
        with self._held:
            if self._closed:
                return False
            self._closed = True
            self._report(self._clock(), goodbye=True)
            self._rtp.close()
            self._rtcp.close()
            return True

    def statistics(self) -> LegStatistics:
        buffer, reception, counters = self._inbound.buffer, self._inbound.reception, self._counters
        received = reception.packets_received
        return LegStatistics(
            packets_sent=self._outbound.sender.packets_sent,
            packets_received=received,
            packets_lost=max(0, buffer.packets_lost - buffer.packets_late),
            packets_late=buffer.packets_late,
            packets_duplicated=buffer.packets_duplicated,
            packets_discarded=buffer.packets_discarded
            + counters.malformed
            + counters.foreign
            + counters.unknown_payload,
            jitter_ms=reception.jitter_ms,
            mos=self._estimate_mos(received),
        )

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
                    self._counters.send_errors += 1

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
        if self._recipient.wants_waking:
            handover.tell(self._recipient)
        return self._phase.earlier()

    def skip(self, periods: int) -> None:
        with self._held:
            self._outbound.skip(periods * _PERIOD_MS)

    def fail(self, error: Exception) -> None:
        self._on_failure(error)

    def _service_control(self, now: float) -> None:
        for datagram in self._rtcp.receive():
            self._take_control(datagram, now)
        if self._control.due(now):
            self._report(now)

    def _take_control(self, datagram: Datagram, now: float) -> None:
        if not self._source.accepts_control(datagram.source):
            self._counters.foreign += 1
            return
        try:
            self._control.receive(datagram.data, self._inbound.reception, datagram.arrived_at_s, now)
        except RtpError:
            self._counters.malformed += 1
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

    def _estimate_mos(self, received: int) -> float:
        if not received:
            return 0.0
        buffer = self._inbound.buffer
        loss_percent = 100 * buffer.packets_lost / (received + buffer.packets_lost)
        burst_ratio = emodel.burst_ratio(buffer.packets_lost, buffer.gaps, loss_percent)
        delay_ms = (self._control.round_trip_s or 0.0) * 500 + _END_DELAY_MS
        return emodel.mos(emodel.rating(delay_ms, loss_percent, burst_ratio))
