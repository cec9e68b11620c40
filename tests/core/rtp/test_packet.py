"""core.rtp.packet: captured, truncated, padded and absurd datagrams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rtp.packet import RtpError, RtpPacket, is_rtcp, serialise

# The first packet of a sipp call: PCMU, marker set.
CAPTURED = bytes.fromhex("8080fffe 000000a0 1a2b3c4d".replace(" ", "")) + b"\xff" * 160


def fields(packet: RtpPacket) -> tuple[object, ...]:
    return (
        packet.payload_type,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
        packet.marker,
        packet.csrcs,
        packet.extension,
    )


def test_captured_packet_is_read_and_written_back() -> None:
    packet = RtpPacket.parse(CAPTURED)

    assert fields(packet) == (0, 0xFFFE, 160, 0x1A2B3C4D, b"\xff" * 160, True, (), None)
    assert packet.serialise() == CAPTURED
    assert serialise(0, 0xFFFE, 160, 0x1A2B3C4D, b"\xff" * 160, marker=True) == CAPTURED


def test_marker_is_no_part_of_the_payload_type() -> None:
    packet = RtpPacket.parse(b"\x80\x65" + CAPTURED[2:])

    assert (packet.payload_type, packet.marker) == (101, False)


def test_padding_is_removed() -> None:
    padded = b"\xa0" + CAPTURED[1:] + b"\x00\x00\x00\x04"

    assert RtpPacket.parse(padded).payload == b"\xff" * 160


def test_payload_may_be_padding_alone() -> None:
    assert RtpPacket.parse(b"\xa0" + CAPTURED[1:12] + b"\x00\x02").payload == b""


def test_contributing_sources_and_extension_are_told_from_the_payload() -> None:
    datagram = (
        b"\xb2"
        + CAPTURED[1:12]
        + bytes.fromhex("00000001ffffffff")
        + bytes.fromhex("bede000110ff0000")
        + b"speech!!\x00\x00\x03"
    )

    packet = RtpPacket.parse(datagram)

    assert packet.csrcs == (1, 0xFFFFFFFF)
    assert packet.extension == (0xBEDE, bytes.fromhex("10ff0000"))
    assert packet.payload == b"speech!!"


@pytest.mark.parametrize("length", range(12))
def test_datagram_shorter_than_a_header_is_refused(length: int) -> None:
    with pytest.raises(RtpError, match="shorter"):
        RtpPacket.parse(CAPTURED[:length])


def test_header_alone_is_a_packet_without_payload() -> None:
    assert RtpPacket.parse(CAPTURED[:12]).payload == b""


@pytest.mark.parametrize(
    ("datagram", "named"),
    [
        (b"\x00" + CAPTURED[1:], "version"),
        (b"\x40" + CAPTURED[1:], "version"),
        (b"\xc0" + CAPTURED[1:], "version"),
        (b"\x8f" + CAPTURED[1:60], "contributing sources"),
        (b"\x90" + CAPTURED[1:15], "extension's header"),
        (b"\x90" + CAPTURED[1:12] + b"\xbe\xde\x00\x02\x00\x00\x00\x00", "extension"),
        (b"\x90" + CAPTURED[1:12] + b"\xbe\xde\xff\xff" + bytes(160), "extension"),
        (b"\xa0" + CAPTURED[1:12], "padding"),
        (b"\xa0" + CAPTURED[1:12] + b"\x01\x00", "padding"),
        (b"\xa0" + CAPTURED[1:12] + b"\x01\x03", "padding"),
        (b"\xa1" + CAPTURED[1:12] + b"\x00\x00\x00\x04", "padding"),
    ],
)
def test_contradicting_lengths_are_refused(datagram: bytes, named: str) -> None:
    with pytest.raises(RtpError, match=named):
        RtpPacket.parse(datagram)


@given(st.binary(max_size=120))
def test_any_datagram_is_read_or_refused(datagram: bytes) -> None:
    for first in (datagram[:1], b"\x80", b"\xa1", b"\xb3", b"\x9f"):
        try:
            packet = RtpPacket.parse(first + datagram[1:])
        except RtpError:
            continue
        assert fields(RtpPacket.parse(packet.serialise())) == fields(packet)


@given(
    st.builds(
        RtpPacket,
        payload_type=st.integers(0, 127),
        sequence_number=st.integers(0, 0xFFFF),
        timestamp=st.integers(0, 0xFFFFFFFF),
        ssrc=st.integers(0, 0xFFFFFFFF),
        payload=st.binary(max_size=40),
        marker=st.booleans(),
        csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
        extension=st.none()
        | st.tuples(
            st.integers(0, 0xFFFF), st.integers(0, 5).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
        ),
    )
)
def test_any_packet_survives_the_wire(packet: RtpPacket) -> None:
    assert fields(RtpPacket.parse(packet.serialise())) == fields(packet)


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0, b""),
        RtpPacket(128, 0, 0, 0, b"", csrcs=(1,)),
        RtpPacket(0, 65536, 0, 0, b""),
        RtpPacket(0, 0, -1, 0, b"", csrcs=(1,)),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(1 << 32,)),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(1,) * 16),
        RtpPacket(0, 0, 0, 0, b"", extension=(0, b"123")),
        RtpPacket(0, 0, 0, 0, b"", extension=(0, bytes(4 * 65536))),
    ],
)
def test_field_that_does_not_fit_is_refused(packet: RtpPacket) -> None:
    with pytest.raises(RtpError):
        packet.serialise()


@pytest.mark.parametrize(
    ("second", "rtcp"),
    [(0, False), (0x80, False), (101, False), (191, False), (192, True), (200, True), (223, True), (224, False)],
)
def test_rtcp_is_told_from_rtp_by_its_second_byte(second: int, rtcp: bool) -> None:
    assert is_rtcp(bytes((0x80, second)) + bytes(10)) is rtcp


def test_datagram_of_one_byte_is_no_rtcp() -> None:
    assert not is_rtcp(b"\x80")


def test_packet_shows_itself_without_its_audio() -> None:
    shown = repr(RtpPacket.parse(CAPTURED))

    assert "ssrc=0x1a2b3c4d" in shown
    assert "payload=160 bytes" in shown
