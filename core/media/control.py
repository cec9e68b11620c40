"""RTCP of one call: reports every few seconds, goodbye at the end (RFC 3550 6)."""

from collections.abc import Callable
from random import Random

from core.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialise_compound,
)
from core.rtp.sender import RtpSender
from core.rtp.statistics import ReceptionStatistics, ntp_timestamp, round_trip_s

# Reports that all parties send at once are spread over half to one and a half times the interval (RFC 3550 6.2).
_LEAST_SPREAD, _MOST_SPREAD = 0.5, 1.5
_CNAME_BITS = 96


class ControlSession:
    """Reads the far end's reports and writes ours; its owner does the sending.

    Attributes:
        round_trip_s: the latest that the far end's reports tell, None before.
        goodbye: the far end said that it leaves.
    """

    def __init__(self, sender: RtpSender, interval_s: float, wall_clock: Callable[[], float], random: Random) -> None:
        self._sender = sender
        self._interval_s = interval_s
        self._wall_clock = wall_clock
        self._random = random
        # Random for each call: a name that stays would tell calls' relation to the far end (RFC 7022 4.2).
        self._cname = f"{random.getrandbits(_CNAME_BITS):024x}"
        self._due_s: float | None = None
        self._reported_packets = 0
        self.round_trip_s: float | None = None
        self.goodbye = False

    def due(self, now: float) -> bool:
        """Whether a report is due; the first comes after half an interval."""
        if self._due_s is None:
            self._due_s = now + self._spread() / 2
        if now < self._due_s:
            return False
        self._due_s = now + self._spread()
        return True

    def report(self, reception: ReceptionStatistics, rtp_timestamp: int, now: float, *, goodbye: bool = False) -> bytes:
        """The compound packet for now; `rtp_timestamp` is our stream's at this instant."""
        block = reception.report_block(now)
        blocks = () if block is None else (block,)
        sender = self._sender
        report: SenderReport | ReceiverReport
        if sender.packets_sent != self._reported_packets:
            report = sender.report(ntp_timestamp(self._wall_clock()), rtp_timestamp, blocks)
        else:
            report = ReceiverReport(sender.ssrc, blocks)
        self._reported_packets = sender.packets_sent
        description = SourceDescription(sender.ssrc, self._cname)
        if goodbye:
            return serialise_compound(report, description, Goodbye((sender.ssrc,)))
        return serialise_compound(report, description)

    def receive(self, data: bytes, reception: ReceptionStatistics, arrived_at_s: float, now: float) -> None:
        """A datagram of the far end's.

        Raises:
            RtpError: it is no RTCP.
        """
        for packet in parse_compound(data):
            if isinstance(packet, SenderReport):
                reception.update_report(packet, arrived_at_s)
            if isinstance(packet, SenderReport | ReceiverReport):
                self._learn_round_trip(packet.blocks, now - arrived_at_s)
            elif isinstance(packet, Goodbye):
                self.goodbye = True

    def _learn_round_trip(self, blocks: tuple[ReportBlock, ...], age_s: float) -> None:
        arrived_at_ntp = ntp_timestamp(self._wall_clock() - age_s)
        for block in blocks:
            if block.ssrc == self._sender.ssrc:
                measured_s = round_trip_s(block, arrived_at_ntp)
                self.round_trip_s = self.round_trip_s if measured_s is None else measured_s

    def _spread(self) -> float:
        return self._interval_s * self._random.uniform(_LEAST_SPREAD, _MOST_SPREAD)
