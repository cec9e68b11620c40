"""RTCP packets of a call: sender and receiver reports, CNAME, goodbye (RFC 3550 6)."""

from dataclasses import dataclass
from struct import Struct

from core.rtp.packet import RtpError

_HEADER = Struct("!BBH")
_WORD = Struct("!I")
_SENDER_INFO = Struct("!IQIII")
_REPORT_BLOCK = Struct("!IIIIII")
_VERSION_BITS = 0x80
_SENDER_REPORT = 200
_RECEIVER_REPORT = 201
_SOURCE_DESCRIPTION = 202
_GOODBYE = 203
_CNAME = 1
_MOST_BLOCKS = 31
_LONGEST_TEXT = 255


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """Reception of one source (RFC 3550 6.4.1).

    Attributes:
        fraction_lost: since the previous report, in 1/256.
        packets_lost: since the beginning, 24 bits, signed.
        highest_sequence_number: extended by its count of wraps.
        jitter: in timestamp units.
        last_sender_report: middle 32 bits of its NTP timestamp, 0 where there was none.
        delay_since_last_sender_report: in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence_number: int
    jitter: int
    last_sender_report: int = 0
    delay_since_last_sender_report: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a source has sent, and how it receives others."""

    ssrc: int
    ntp_timestamp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    blocks: tuple[ReportBlock, ...] = ()

    def serialise(self) -> bytes:
        info = _SENDER_INFO.pack(
            self.ssrc,
            self.ntp_timestamp,
            self.rtp_timestamp & 0xFFFFFFFF,
            self.packet_count & 0xFFFFFFFF,
            self.octet_count & 0xFFFFFFFF,
        )
        return _frame(_SENDER_REPORT, len(self.blocks), info + _serialise_blocks(self.blocks))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How one who sends nothing receives others."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def serialise(self) -> bytes:
        return _frame(_RECEIVER_REPORT, len(self.blocks), _WORD.pack(self.ssrc) + _serialise_blocks(self.blocks))


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """The canonical name of one source, at most 255 bytes of UTF-8."""

    ssrc: int
    cname: str

    def serialise(self) -> bytes:
        text = self.cname.encode("utf-8")[:_LONGEST_TEXT]
        chunk = _WORD.pack(self.ssrc) + bytes((_CNAME, len(text))) + text
        # One to four zero bytes end the list of items on a word's boundary.
        return _frame(_SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that leave."""

    ssrcs: tuple[int, ...]
    reason: str = ""

    def serialise(self) -> bytes:
        body = b"".join(map(_WORD.pack, self.ssrcs))
        if self.reason:
            text = self.reason.encode("utf-8")[:_LONGEST_TEXT]
            body += bytes((len(text),)) + text
            body += bytes(-len(body) % 4)
        return _frame(_GOODBYE, len(self.ssrcs), body)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye


def serialise_compound(*packets: RtcpPacket) -> bytes:
    """Several packets in one datagram; a report comes first, and CNAME is in each (RFC 3550 6.1)."""
    return b"".join(packet.serialise() for packet in packets)


def parse_compound(datagram: bytes) -> list[RtcpPacket]:
    """The packets of a datagram; other types, and source descriptions without CNAME, are passed over.

    Raises:
        RtpError: a packet is not of version 2, or its lengths contradict each other.
    """
    packets: list[RtcpPacket] = []
    at = 0
    if not datagram:
        raise RtpError("RTCP datagram is empty")
    while at < len(datagram):
        if len(datagram) - at < _HEADER.size:
            raise RtpError("RTCP packet is shorter than its header")
        first, packet_type, words = _HEADER.unpack_from(datagram, at)
        end = at + 4 * (words + 1)
        if first & 0xC0 != _VERSION_BITS:
            raise RtpError("RTCP version is not 2")
        if end > len(datagram):
            raise RtpError("RTCP packet is shorter than its length says")
        body = datagram[at + _HEADER.size : end]
        if first & 0x20:
            body = _without_padding(body, last=end == len(datagram))
        packets += _parse_body(packet_type, first & 0x1F, body)
        at = end
    return packets


def _without_padding(body: bytes, *, last: bool) -> bytes:
    # Only the last packet of a datagram may be padded, by whole words (RFC 3550 6.4.1).
    if not last or not body or not 0 < body[-1] <= len(body) or body[-1] % 4:
        raise RtpError("RTCP padding is malformed")
    return body[: -body[-1]]


def _parse_body(packet_type: int, count: int, body: bytes) -> list[RtcpPacket]:
    if packet_type == _SENDER_REPORT:
        if len(body) < _SENDER_INFO.size:
            raise RtpError("RTCP sender report is too short")
        blocks = _parse_blocks(body, _SENDER_INFO.size, count)
        ssrc, ntp, rtp, packet_count, octet_count = _SENDER_INFO.unpack_from(body)
        return [SenderReport(ssrc, ntp, rtp, packet_count, octet_count, blocks)]
    if packet_type == _RECEIVER_REPORT:
        if len(body) < _WORD.size:
            raise RtpError("RTCP receiver report is too short")
        return [ReceiverReport(_WORD.unpack_from(body)[0], _parse_blocks(body, _WORD.size, count))]
    if packet_type == _SOURCE_DESCRIPTION:
        return _parse_source_descriptions(body, count)
    if packet_type == _GOODBYE:
        return [_parse_goodbye(body, count)]
    return []


def _parse_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    if start + count * _REPORT_BLOCK.size > len(body):
        raise RtpError("RTCP report is shorter than its count of blocks says")
    blocks = []
    for at in range(start, start + count * _REPORT_BLOCK.size, _REPORT_BLOCK.size):
        ssrc, loss, highest, jitter, last, delay = _REPORT_BLOCK.unpack_from(body, at)
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last, delay))
    return tuple(blocks)


def _parse_source_descriptions(body: bytes, count: int) -> list[RtcpPacket]:
    described: list[RtcpPacket] = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            raise RtpError("RTCP source description is too short")
        (ssrc,) = _WORD.unpack_from(body, at)
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise RtpError("RTCP source description item is too short")
            text = body[at + 2 : at + 2 + body[at + 1]]
            if body[at] == _CNAME:
                described.append(SourceDescription(ssrc, text.decode("utf-8", "replace")))
            at += 2 + len(text)
        at = (at // 4 + 1) * 4
    return described


def _parse_goodbye(body: bytes, count: int) -> Goodbye:
    end = 4 * count
    if end > len(body):
        raise RtpError("RTCP goodbye is shorter than its count of sources says")
    reason = b""
    if end < len(body):
        reason = body[end + 1 : end + 1 + body[end]]
        if len(reason) < body[end]:
            raise RtpError("RTCP goodbye is shorter than its reason says")
    ssrcs = tuple(_WORD.unpack_from(body, at)[0] for at in range(0, end, 4))
    return Goodbye(ssrcs, reason.decode("utf-8", "replace"))


def _serialise_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _REPORT_BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.packets_lost & 0xFFFFFF,
            block.highest_sequence_number,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        )
        for block in blocks
    )


def _frame(packet_type: int, count: int, body: bytes) -> bytes:
    if count > _MOST_BLOCKS:
        raise RtpError("RTCP packet holds at most 31 items")
    return _HEADER.pack(_VERSION_BITS | count, packet_type, len(body) // 4) + body
