"""core.rtp.rtcp: reports, names and goodbyes, as bytes and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rtp.packet import RtpError
from core.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialise_compound,
)

BLOCK = ReportBlock(0x22222222, 64, 5, 0x0001FFFF, 33, 0xAABBCCDD, 65536)
REPORT = SenderReport(0x11111111, 0xE5F0A1B280000000, 160_000, 1000, 160_000, (BLOCK,))
# Laid out by hand after RFC 3550 6.4.1 and 6.5.
REPORT_BYTES = bytes.fromhex(
    "81c8000c 11111111 e5f0a1b2 80000000 00027100 000003e8 00027100"
    "22222222 40000005 0001ffff 00000021 aabbccdd 00010000"
)
NAME_BYTES = bytes.fromhex("81ca0003 11111111 0104") + b"a@bc" + bytes(2)


def test_report_and_name_are_laid_out_as_the_rfc_draws_them() -> None:
    assert REPORT.serialise() == REPORT_BYTES
    assert SourceDescription(0x11111111, "a@bc").serialise() == NAME_BYTES
    assert Goodbye((0x11111111,)).serialise() == bytes.fromhex("81cb0001 11111111")
    assert ReceiverReport(0x11111111).serialise() == bytes.fromhex("80c90001 11111111")


def test_compound_is_read() -> None:
    assert parse_compound(REPORT_BYTES + NAME_BYTES) == [REPORT, SourceDescription(0x11111111, "a@bc")]


@pytest.mark.parametrize(
    "packet",
    [
        REPORT,
        ReceiverReport(7, (BLOCK, BLOCK)),
        ReceiverReport(7, (ReportBlock(1, 0, -3, 0, 0),)),
        *(SourceDescription(7, "x" * length) for length in range(6)),
        SourceDescription(7, "x" * 255),
        SourceDescription(7, "anrufer@büro"),
        Goodbye(()),
        Goodbye((1, 2)),
        Goodbye((1,), "camera malfunction"),
        Goodbye((1,), "abc"),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_packet_survives_the_wire(
    packet: SenderReport | ReceiverReport | SourceDescription | Goodbye,
) -> None:
    datagram = serialise_compound(packet, Goodbye((9,)))

    assert len(datagram) % 4 == 0
    assert parse_compound(datagram) == [packet, Goodbye((9,))]


def test_other_packets_and_items_are_passed_over() -> None:
    feedback = bytes.fromhex("81cd0002 00000001 00000002")
    tool = bytes.fromhex("81ca0003 00000007 0605") + b"tools" + bytes(1)

    assert parse_compound(feedback + tool + NAME_BYTES) == [SourceDescription(0x11111111, "a@bc")]


def test_several_sources_may_be_described_at_once() -> None:
    chunks = (
        bytes.fromhex("82ca0005 00000001 0101") + b"a" + bytes(1) + bytes.fromhex("00000002 0102") + b"bc" + bytes(4)
    )

    assert parse_compound(chunks) == [SourceDescription(1, "a"), SourceDescription(2, "bc")]


def test_padding_of_the_last_packet_is_removed() -> None:
    padded = bytes.fromhex("a1cb0002 11111111 00000004")

    assert parse_compound(REPORT_BYTES + padded) == [REPORT, Goodbye((0x11111111,))]


@pytest.mark.parametrize(
    ("datagram", "named"),
    [
        (b"", "empty"),
        (REPORT_BYTES[:3], "header"),
        (REPORT_BYTES[:-1], "length"),
        (REPORT_BYTES + b"\x80", "header"),
        (b"\x41" + REPORT_BYTES[1:], "version"),
        (bytes.fromhex("80c80001 00000001"), "too short"),
        (b"\x82" + REPORT_BYTES[1:], "count of blocks"),
        (bytes.fromhex("80c90000"), "too short"),
        (bytes.fromhex("81c90001 00000001"), "count of blocks"),
        (bytes.fromhex("81ca0000"), "too short"),
        (bytes.fromhex("81ca0002 00000001 01044141"), "item"),
        (bytes.fromhex("82cb0001 00000001"), "count of sources"),
        (bytes.fromhex("81cb0002 00000001 09414243"), "reason"),
        (bytes.fromhex("a0cb0000") + REPORT_BYTES, "padding"),
        (bytes.fromhex("a1cb0002 00000001 00000004") + REPORT_BYTES, "padding"),
        (bytes.fromhex("a1cb0002 00000001 00000000"), "padding"),
        (bytes.fromhex("a1cb0002 00000001 0000000c"), "padding"),
        (bytes.fromhex("a1cb0002 00000001 00000003"), "padding"),
    ],
)
def test_contradicting_lengths_are_refused(datagram: bytes, named: str) -> None:
    with pytest.raises(RtpError, match=named):
        parse_compound(datagram)


def test_description_that_ends_without_its_zero_is_read() -> None:
    assert parse_compound(bytes.fromhex("81ca0002 00000001 01024142")) == [SourceDescription(1, "AB")]


@given(st.binary(max_size=200))
def test_any_datagram_is_read_or_refused(noise: bytes) -> None:
    length = (len(noise) // 4).to_bytes(2, "big")
    for datagram in (noise, REPORT_BYTES + noise, *(bytes((0x83, kind)) + length + noise for kind in range(199, 205))):
        try:
            parse_compound(datagram)
        except RtpError:
            continue


@pytest.mark.parametrize("packet", [Goodbye((1,) * 32), ReceiverReport(1, (BLOCK,) * 32)])
def test_more_than_31_items_do_not_fit(packet: Goodbye | ReceiverReport) -> None:
    with pytest.raises(RtpError):
        packet.serialise()


def test_text_too_long_is_cut() -> None:
    [packet] = parse_compound(SourceDescription(1, "x" * 300).serialise())

    assert packet == SourceDescription(1, "x" * 255)
