"""One RTP packet: fixed header, contributing sources, extension, padding (RFC 3550 5.1, 5.3.1)."""

import struct
from struct import Struct

_FIXED_HEADER = Struct("!BBHII")
_EXTENSION_HEADER = Struct("!HH")
_FIXED_HEADER_BYTES = 12
_VERSION = 2
# Version 2, no padding, no extension, no contributing source: nearly every packet of a call.
_PLAIN_FIRST_BYTE = 0x80
_MARKER = 0x80


class RtpError(ValueError):
    """A datagram that is not what it should be: the sender's fault, to be counted and dropped."""


class RtpPacket:
    """The fields of a packet, padding removed.

    Attributes:
        received_at_s: when it arrived, by the receiver's monotonic clock; not on the wire.
        extension: profile-defined identifier and its data, a whole number of 32-bit words (RFC 3550 5.3.1).
    """

    __slots__ = (
        "csrcs",
        "extension",
        "marker",
        "payload",
        "payload_type",
        "received_at_s",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    def __init__(
        self,
        payload_type: int,
        sequence_number: int,
        timestamp: int,
        ssrc: int,
        payload: bytes,
        marker: bool = False,
        csrcs: tuple[int, ...] = (),
        extension: tuple[int, bytes] | None = None,
    ) -> None:
        self.payload_type = payload_type
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.marker = marker
        self.csrcs = csrcs
        self.extension = extension
        self.received_at_s = 0.0

    @classmethod
    def parse(cls, datagram: bytes) -> "RtpPacket":
        """Reads a datagram of any bytes.

        Raises:
            RtpError: it is no RTP packet of version 2, or its lengths contradict each other.
        """
        if len(datagram) < _FIXED_HEADER_BYTES:
            raise RtpError("RTP packet is shorter than its fixed header")
        first, second, sequence_number, timestamp, ssrc = _FIXED_HEADER.unpack_from(datagram)
        if first == _PLAIN_FIRST_BYTE:
            payload = datagram[_FIXED_HEADER_BYTES:]
            return cls(second & 0x7F, sequence_number, timestamp, ssrc, payload, second >= _MARKER)
        csrcs, extension, payload = _parse_rest(datagram, first)
        return cls(second & 0x7F, sequence_number, timestamp, ssrc, payload, second >= _MARKER, csrcs, extension)

    def serialise(self) -> bytes:
        """The packet as a datagram, without padding.

        Raises:
            RtpError: a field does not fit into its bits.
        """
        if not self.csrcs and self.extension is None:
            return serialise(
                self.payload_type, self.sequence_number, self.timestamp, self.ssrc, self.payload, self.marker
            )
        if len(self.csrcs) > 15:
            raise RtpError("RTP packet has more than 15 contributing sources")
        if self.payload_type > 127:
            raise RtpError("RTP payload type is out of range")
        second = self.payload_type | _MARKER if self.marker else self.payload_type
        first = _PLAIN_FIRST_BYTE | len(self.csrcs) | (0x10 if self.extension is not None else 0)
        try:
            parts = [
                _FIXED_HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc),
                *(csrc.to_bytes(4, "big") for csrc in self.csrcs),
            ]
            if self.extension is not None:
                identifier, data = self.extension
                if len(data) % 4:
                    raise RtpError("RTP header extension is no whole number of words")
                parts += _EXTENSION_HEADER.pack(identifier, len(data) // 4), data
        except (OverflowError, struct.error) as error:
            raise RtpError("RTP header field is out of range") from error
        return b"".join([*parts, self.payload])

    def __repr__(self) -> str:
        return (
            f"RtpPacket(payload_type={self.payload_type}, sequence_number={self.sequence_number}, "
            f"timestamp={self.timestamp}, ssrc={self.ssrc:#010x}, marker={self.marker}, "
            f"payload={len(self.payload)} bytes)"
        )


def serialise(
    payload_type: int, sequence_number: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False
) -> bytes:
    """A plain packet as a datagram, without an object in between: the sender's path.

    Raises:
        RtpError: a field does not fit into its bits.
    """
    if payload_type > 127:
        raise RtpError("RTP payload type is out of range")
    second = payload_type | _MARKER if marker else payload_type
    try:
        return _FIXED_HEADER.pack(_PLAIN_FIRST_BYTE, second, sequence_number, timestamp, ssrc) + payload
    except struct.error as error:
        raise RtpError("RTP header field is out of range") from error


def is_rtcp(datagram: bytes) -> bool:
    """Whether a datagram on a port that RTP and RTCP share is RTCP (RFC 5761 4)."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def _parse_rest(datagram: bytes, first: int) -> tuple[tuple[int, ...], tuple[int, bytes] | None, bytes]:
    """Contributing sources, extension and payload of a packet that has more than a fixed header."""
    if first >> 6 != _VERSION:
        raise RtpError("RTP version is not 2")
    end = len(datagram)
    start = _FIXED_HEADER_BYTES + 4 * (first & 0x0F)
    if start > end:
        raise RtpError("RTP packet is shorter than its list of contributing sources")
    csrcs = tuple(int.from_bytes(datagram[at : at + 4], "big") for at in range(_FIXED_HEADER_BYTES, start, 4))
    extension = None
    if first & 0x10:
        if start + 4 > end:
            raise RtpError("RTP packet is shorter than its extension's header")
        identifier, words = _EXTENSION_HEADER.unpack_from(datagram, start)
        data_start = start + 4
        start = data_start + 4 * words
        if start > end:
            raise RtpError("RTP packet is shorter than its extension")
        extension = (identifier, datagram[data_start:start])
    if first & 0x20:
        # The last byte counts the padding, itself included (RFC 3550 5.1).
        padding_bytes = datagram[-1]
        if not 0 < padding_bytes <= end - start:
            raise RtpError("RTP padding is longer than the payload, or empty")
        end -= padding_bytes
    return csrcs, extension, datagram[start:end]
