"""What a receiver knows of a source: loss, interarrival jitter, round trip (RFC 3550 6.4, A.3, A.8)."""

from core.rtp.packet import RtpPacket
from core.rtp.rtcp import ReportBlock, SenderReport
from core.rtp.sequence import SourceSequence

# From 1900, where NTP begins, to 1970 (RFC 5905 6).
_NTP_EPOCH_OFFSET_S = 2_208_988_800
_MOST_LOST = 0x7FFFFF
_LEAST_LOST = -0x800000


class ReceptionStatistics:
    """Loss and jitter of what one stream received; a change of source goes on counting."""

    __slots__ = (
        "_clock_rate_hz",
        "_expected_before",
        "_jitter",
        "_last_report_arrival_s",
        "_last_report_middle",
        "_past_lost",
        "_past_received",
        "_received_before",
        "_sequence",
        "_ssrc",
        "_timestamp",
        "_transit",
    )

    def __init__(self, clock_rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._sequence: SourceSequence | None = None
        self._ssrc = -1
        self._past_lost = 0
        self._past_received = 0
        self._timestamp = -1
        self._transit = -1
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._last_report_middle = 0
        self._last_report_arrival_s = 0.0

    def update(self, packet: RtpPacket, arrived_at_s: float) -> bool:
        """Counts a packet; whether it belongs to a source that is to be believed (RFC 3550 A.1)."""
        sequence = self._sequence
        if sequence is None or packet.ssrc != self._ssrc:
            self._retire_source()
            self._ssrc = packet.ssrc
            sequence = self._sequence = SourceSequence(packet.sequence_number)
        restarts = sequence.restarts
        if sequence.update(packet.sequence_number) is None:
            return False
        if sequence.restarts != restarts:
            self._begin_count()
        if packet.timestamp == self._timestamp:
            # The packets of a key share one timestamp (RFC 4733 2.2.1) and say nothing about delay.
            return True
        self._timestamp = packet.timestamp
        # RFC 3550 A.8, in timestamp units, which wrap.
        transit = (int(arrived_at_s * self._clock_rate_hz) - packet.timestamp) & 0xFFFFFFFF
        if self._transit >= 0:
            change = (transit - self._transit) & 0xFFFFFFFF
            if change & 0x80000000:
                change = 0x100000000 - change
            self._jitter += (change - self._jitter) / 16
        self._transit = transit
        return True

    def update_report(self, report: SenderReport, arrived_at_s: float) -> None:
        """Remembers when the source last reported, so that it can tell the round trip."""
        self._last_report_middle = middle_of_ntp(report.ntp_timestamp)
        self._last_report_arrival_s = arrived_at_s

    def report_block(self, now_s: float) -> ReportBlock | None:
        """What a report says of the source; the next fraction lost counts from here. None: nothing came."""
        sequence = self._sequence
        if sequence is None:
            return None
        expected = sequence.expected - self._expected_before
        lost = expected - (sequence.received - self._received_before)
        self._expected_before, self._received_before = sequence.expected, sequence.received
        delay_s = now_s - self._last_report_arrival_s if self._last_report_middle else 0.0
        return ReportBlock(
            ssrc=self._ssrc,
            fraction_lost=min(lost * 256 // expected, 255) if expected > 0 and lost > 0 else 0,
            packets_lost=max(_LEAST_LOST, min(sequence.lost, _MOST_LOST)),
            highest_sequence_number=sequence.highest & 0xFFFFFFFF,
            jitter=int(self._jitter) & 0xFFFFFFFF,
            last_sender_report=self._last_report_middle,
            delay_since_last_sender_report=min(max(0, int(delay_s * 65536)), 0xFFFFFFFF),
        )

    @property
    def packets_received(self) -> int:
        sequence = self._sequence
        return self._past_received + (sequence.past_received + sequence.received if sequence else 0)

    @property
    def packets_lost(self) -> int:
        """Never negative: duplicates do not make up for losses."""
        sequence = self._sequence
        return self._past_lost + (sequence.past_lost + max(0, sequence.lost) if sequence else 0)

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / self._clock_rate_hz

    def _retire_source(self) -> None:
        self._past_lost, self._past_received = self.packets_lost, self.packets_received
        self._last_report_middle = 0
        self._begin_count()

    def _begin_count(self) -> None:
        self._timestamp = -1
        self._transit = -1
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0


def ntp_timestamp(unix_s: float) -> int:
    """A time of day as 64-bit NTP: seconds since 1900 and their fraction (RFC 3550 4)."""
    return int((unix_s + _NTP_EPOCH_OFFSET_S) * 4294967296) & 0xFFFFFFFFFFFFFFFF


def middle_of_ntp(timestamp: int) -> int:
    """The middle 32 bits of an NTP timestamp: 16 of seconds, 16 of their fraction."""
    return timestamp >> 16 & 0xFFFFFFFF


def round_trip_s(block: ReportBlock, arrived_at_ntp: int) -> float | None:
    """The round trip that a report on our own stream tells, None where it has heard none of our reports."""
    if not block.last_sender_report:
        return None
    elapsed = middle_of_ntp(arrived_at_ntp) - block.last_sender_report - block.delay_since_last_sender_report
    elapsed &= 0xFFFFFFFF
    # Clocks are coarse: a little less than nothing is nothing.
    return 0.0 if elapsed & 0x80000000 else elapsed / 65536
