"""Numbers and timestamps of one outgoing stream: its clock never stops (RFC 3550 5.1, RFC 3551 4.1)."""

from core.rtp import packet
from core.rtp.rtcp import ReportBlock, SenderReport


class RtpSender:
    """Makes the packets of one call, one for each packet time.

    Each call stands for the next `duration` of wall time, in timestamp units: `audio`, `silence`, `event` send
    a packet for it, `pause` sends none. So the timestamp advances through silence and barge-in as time does,
    and the first packet of speech after anything else carries the marker.

    Attributes:
        payload_type: of the audio; a re-negotiation may change it.
        timestamp: of the next audio packet.
    """

    __slots__ = (
        "_event_timestamp",
        "_in_talkspurt",
        "_sequence_number",
        "octets_sent",
        "packets_sent",
        "payload_type",
        "ssrc",
        "timestamp",
    )

    def __init__(self, ssrc: int, sequence_number: int, timestamp: int, payload_type: int) -> None:
        """Begins with the numbers given, which are to be random (RFC 3550 5.1)."""
        self.ssrc = ssrc
        self.timestamp = timestamp
        self.payload_type = payload_type
        self.packets_sent = 0
        self.octets_sent = 0
        self._sequence_number = sequence_number
        self._event_timestamp = timestamp
        self._in_talkspurt = False

    def audio(self, payload: bytes, duration: int) -> bytes:
        """The datagram of a packet of speech."""
        marker = not self._in_talkspurt
        self._in_talkspurt = True
        return self._send(self.payload_type, self.timestamp, payload, duration, marker)

    def silence(self, payload: bytes, duration: int) -> bytes:
        """The datagram of a packet of encoded silence: the next speech begins a talkspurt."""
        self._in_talkspurt = False
        return self._send(self.payload_type, self.timestamp, payload, duration, False)

    def event(self, payload: bytes, duration: int, payload_type: int, first: bool) -> bytes:
        """The datagram of a telephone-event packet; the first of an event sets the timestamp of all of them."""
        self._in_talkspurt = False
        if first:
            self._event_timestamp = self.timestamp
        return self._send(payload_type, self._event_timestamp, payload, duration, first)

    def pause(self, duration: int) -> None:
        """Nothing is sent for this time."""
        self._in_talkspurt = False
        self.timestamp = (self.timestamp + duration) & 0xFFFFFFFF

    def report(self, ntp_timestamp: int, rtp_timestamp: int, blocks: tuple[ReportBlock, ...] = ()) -> SenderReport:
        """A report on what was sent, for the instant that both timestamps name (RFC 3550 6.4.1)."""
        return SenderReport(self.ssrc, ntp_timestamp, rtp_timestamp, self.packets_sent, self.octets_sent, blocks)

    def _send(self, payload_type: int, timestamp: int, payload: bytes, duration: int, marker: bool) -> bytes:
        sequence_number = self._sequence_number
        self._sequence_number = (sequence_number + 1) & 0xFFFF
        self.timestamp = (self.timestamp + duration) & 0xFFFFFFFF
        self.packets_sent += 1
        self.octets_sent += len(payload)
        return packet.serialise(payload_type, sequence_number, timestamp, self.ssrc, payload, marker)
