"""What comes in on one call: from datagrams to audio, keys and missing time, in order."""

from core.leg import DigitReceived
from core.media.counters import MediaCounters
from core.media.datagram_socket import MAX_DATAGRAM_BYTES, Datagram
from core.media.inbox import Heard, Inbox, MediaInactive, Missing
from core.media.source_lock import SourceLock
from core.media.timeline import Timeline
from core.rtp.dtmf import DtmfReceiver
from core.rtp.jitter_buffer import Gap, JitterBuffer
from core.rtp.packet import RtpError, RtpPacket
from core.rtp.statistics import ReceptionStatistics
from core.sdp.media_parameters import MediaParameters

# RFC 3551 table 4; its description of the noise is not used: a recogniser hears best in silence.
_COMFORT_NOISE = 13


class Inbound:
    """Belongs to the wheel, which owns the call while it turns."""

    def __init__(
        self,
        inbox: Inbox,
        lock: SourceLock,
        counters: MediaCounters,
        *,
        reorder_ms: int,
        inactivity_s: float,
        hold_inactivity_s: float,
    ) -> None:
        self._inbox = inbox
        self._lock = lock
        self._counters = counters
        self._reorder_ms = reorder_ms
        self._inactivity_s = inactivity_s
        self._hold_inactivity_s = hold_inactivity_s
        self._parameters: MediaParameters | None = None
        self._keys = DtmfReceiver()
        self._timeline = Timeline(0.0, 8000, 0.0)
        self._pausing = False
        self._active_at_s = 0.0
        self._inactivity_told_s = 0.0
        self.buffer = JitterBuffer(reorder_ms)
        self.reception = ReceptionStatistics(8000)

    def configure(self, parameters: MediaParameters, now: float) -> None:
        """For the first time, or anew: time without audio goes on through a hold."""
        previous = self._parameters
        self._parameters = parameters
        if previous is None or previous.codec.clock_rate_hz != parameters.codec.clock_rate_hz:
            clock_rate_hz = parameters.codec.clock_rate_hz
            self._timeline = Timeline(now, clock_rate_hz, self._reorder_ms / 1000)
            self.reception = ReceptionStatistics(clock_rate_hz)
        self._pausing = not parameters.receiving
        self.heard_of(now)

    def heard_of(self, now: float) -> None:
        """The caller's side lives: RTP or RTCP came from it."""
        self._active_at_s = now
        self._inactivity_told_s = 0.0

    def take(self, datagram: Datagram) -> bool:
        """Whether a datagram of the RTP port, of any bytes from anywhere, is a packet of the caller's."""
        parameters = self._parameters
        assert parameters is not None
        if self._lock.excludes(datagram.source):
            self._counters.foreign += 1
            return False
        if len(datagram.data) >= MAX_DATAGRAM_BYTES:
            self._counters.malformed += 1
            return False
        try:
            packet = RtpPacket.parse(datagram.data)
        except RtpError:
            self._counters.malformed += 1
            return False
        payload_type = packet.payload_type
        if (
            payload_type != parameters.payload_type
            and payload_type != parameters.dtmf_payload_type
            and payload_type != _COMFORT_NOISE
        ):
            self._counters.unknown_payload += 1
            return False
        if not self._lock.accepts(datagram.source, packet.ssrc):
            self._counters.foreign += 1
            return False
        self._active_at_s = datagram.arrived_at_s
        self.reception.update(packet, datagram.arrived_at_s)
        self.buffer.put(packet, datagram.arrived_at_s)
        return True

    def advance(self, now: float) -> None:
        """Passes on what is in order, and stands in for what is overdue."""
        while (item := self.buffer.get(now)) is not None:
            if isinstance(item, Gap):
                self._stand_in(self._timeline.lost(item.duration, now), now, pause=False)
            else:
                self._pass_on(item)
        self._stand_in(self._timeline.overdue(now), now, pause=self._pausing)
        self._watch(now)

    def _pass_on(self, packet: RtpPacket) -> None:
        parameters = self._parameters
        assert parameters is not None
        if packet.payload_type == parameters.payload_type:
            # 64 kbit/s: as many bytes as clock ticks, G.722 included (RFC 3551 4.5.2).
            duration = len(packet.payload)
            owed_s = self._timeline.audio(packet.ssrc, packet.timestamp, duration, packet.received_at_s)
            self._stand_in(owed_s, packet.received_at_s, pause=True)
            self._pausing = False
            if duration:
                self._inbox.append(Heard(parameters.codec, packet.payload, packet.received_at_s))
            return
        # Keys and comfort noise come in place of audio, not because it was lost.
        self._pausing = True
        if packet.payload_type == parameters.dtmf_payload_type:
            try:
                key = self._keys.receive(packet)
            except RtpError:
                self._counters.malformed += 1
                return
            if key is not None:
                self._inbox.append(DigitReceived(key))

    def _stand_in(self, seconds: float, now: float, *, pause: bool) -> None:
        if seconds > 0:
            self._counters.filled_ms += seconds * 1000
            self._inbox.append(Missing(seconds, pause, now))

    def _watch(self, now: float) -> None:
        assert self._parameters is not None
        limit_s = self._inactivity_s if self._parameters.receiving else self._hold_inactivity_s
        silent_for_s = now - self._active_at_s
        if silent_for_s < limit_s:
            self._inactivity_told_s = 0.0
        elif silent_for_s >= self._inactivity_told_s + limit_s:
            self._inactivity_told_s = silent_for_s
            self._inbox.append(MediaInactive(silent_for_s))
