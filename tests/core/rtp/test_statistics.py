"""core.rtp.statistics: loss, jitter and round trip as RFC 3550 counts them."""

import pytest

from core.rtp.packet import RtpPacket
from core.rtp.rtcp import ReportBlock, SenderReport
from core.rtp.statistics import ReceptionStatistics, middle_of_ntp, ntp_timestamp, round_trip_s


def packet(number: int, ssrc: int = 1, origin: int = 0) -> RtpPacket:
    return RtpPacket(0, number & 0xFFFF, (origin + 160 * number) & 0xFFFFFFFF, ssrc, bytes(160))


def feed(statistics: ReceptionStatistics, *numbers: int, ssrc: int = 1) -> None:
    for number in numbers:
        statistics.update(packet(number, ssrc), 100 + number * 0.02)


def test_nothing_received_means_no_report() -> None:
    statistics = ReceptionStatistics(8000)

    assert statistics.report_block(0.0) is None
    assert (statistics.packets_received, statistics.packets_lost, statistics.jitter_ms) == (0, 0, 0.0)


def test_even_stream_has_no_jitter_and_no_loss() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, *range(100))

    assert statistics.jitter_ms < 0.13  # arrival is counted in whole timestamp units
    assert statistics.packets_lost == 0
    block = statistics.report_block(102.0)
    assert block is not None
    assert (block.ssrc, block.fraction_lost, block.packets_lost, block.highest_sequence_number) == (1, 0, 0, 99)


@pytest.mark.parametrize("origin", [0, 2**32 - 5 * 160], ids=["plain", "timestamp wrap"])
def test_alternating_delay_of_10_ms_converges_to_10_ms_of_jitter(origin: int) -> None:
    statistics = ReceptionStatistics(8000)
    for number in range(200):
        statistics.update(packet(number, origin=origin), 5.0 + number * 0.02 + (0.01 if number % 2 else 0))

    assert statistics.jitter_ms == pytest.approx(10, rel=0.02)


def test_jitter_follows_the_recurrence_of_the_rfc() -> None:
    statistics = ReceptionStatistics(8000)
    for number, late_s in enumerate((0.0, 0.016, 0.0)):
        statistics.update(packet(number), 1.0 + number * 0.02 + late_s)

    # |D| is 128 units twice: 128/16 = 8, then 8 + (128 - 8)/16 = 15.5.
    assert statistics.jitter_ms == pytest.approx(15.5 / 8, abs=0.02)


def test_packets_of_a_key_make_no_jitter() -> None:
    statistics = ReceptionStatistics(8000)
    for number in range(60):
        pressed = 10 <= number < 50
        timestamp = 1600 if pressed else 160 * number
        statistics.update(RtpPacket(101 if pressed else 0, number, timestamp, 1, b"1234"), 1.0 + number * 0.02)

    assert statistics.jitter_ms < 0.13
    assert statistics.packets_received == 60


def test_fraction_lost_is_since_the_previous_report() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0, 1, 2, 4)
    first = statistics.report_block(1.0)
    feed(statistics, 5, 6, 7, 8)
    second = statistics.report_block(2.0)

    assert first is not None
    assert second is not None
    assert (first.fraction_lost, first.packets_lost) == (256 // 5, 1)
    assert (second.fraction_lost, second.packets_lost) == (0, 1)


def test_duplicates_make_a_negative_loss_in_reports_and_none_in_the_total() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0, 1, 1, 1)
    block = statistics.report_block(1.0)

    assert block is not None
    assert (block.packets_lost, block.fraction_lost) == (-2, 0)
    assert statistics.packets_lost == 0


def test_highest_number_is_extended_by_wraps() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 65534, 65535, 65536, 65537)
    block = statistics.report_block(1.0)

    assert block is not None
    assert block.highest_sequence_number == 65537


def test_change_of_source_keeps_the_totals() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0, 1, 3)
    feed(statistics, 500, 501, 504, ssrc=2)

    assert (statistics.packets_received, statistics.packets_lost) == (6, 3)
    block = statistics.report_block(1.0)
    assert block is not None
    assert (block.ssrc, block.packets_lost) == (2, 2)


def test_restart_of_the_count_keeps_the_totals_and_disbelieves_the_first_packet() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0, 1, 3)
    statistics.report_block(1.0)

    assert not statistics.update(packet(40_000), 101.0)
    assert statistics.update(packet(40_001), 101.02)
    assert (statistics.packets_received, statistics.packets_lost) == (4, 1)
    block = statistics.report_block(2.0)
    assert block is not None
    assert (block.packets_lost, block.fraction_lost) == (0, 0)


def test_total_loss_since_a_report_saturates_the_fraction() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0)
    statistics.report_block(1.0)
    feed(statistics, 2_900)
    block = statistics.report_block(2.0)

    assert block is not None
    assert block.fraction_lost == 255


def test_report_tells_when_the_source_last_reported() -> None:
    statistics = ReceptionStatistics(8000)
    feed(statistics, 0)
    statistics.update_report(SenderReport(1, 0x1111_2222_3333_4444, 0, 1, 160), arrived_at_s=10.0)
    block = statistics.report_block(12.5)

    assert block is not None
    assert block.last_sender_report == 0x2222_3333
    assert block.delay_since_last_sender_report == int(2.5 * 65536)


def test_round_trip_of_the_rfcs_example() -> None:
    # RFC 3550 figure 2.
    block = ReportBlock(1, 0, 0, 0, 0, last_sender_report=0xB705_2000, delay_since_last_sender_report=0x0005_4000)

    assert round_trip_s(block, 0xB710_8000 << 16) == pytest.approx(6.125)


def test_round_trip_survives_the_wrap_of_its_clock() -> None:
    block = ReportBlock(1, 0, 0, 0, 0, last_sender_report=0xFFFF_F000, delay_since_last_sender_report=0x1000)

    assert round_trip_s(block, 0x8000 << 16) == pytest.approx(0.5)


def test_round_trip_is_unknown_before_our_first_report_and_never_negative() -> None:
    assert round_trip_s(ReportBlock(1, 0, 0, 0, 0), 0) is None
    assert round_trip_s(ReportBlock(1, 0, 0, 0, 0, 1000, 10), 1000 << 16) == 0.0


def test_ntp_counts_from_1900_in_32_bit_fractions() -> None:
    assert ntp_timestamp(0.0) == 2_208_988_800 << 32
    assert ntp_timestamp(0.5) & 0xFFFFFFFF == 0x80000000
    assert middle_of_ntp(0x1111_2222_3333_4444) == 0x2222_3333
