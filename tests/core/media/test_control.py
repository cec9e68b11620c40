"""RTCP of one call, on the wheel."""

import itertools

import pytest

from core.media.datagram_socket import encode_address
from core.media.settings import MediaSettings
from core.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    serialise_compound,
)
from core.rtp.sequence import timestamp_difference
from core.rtp.statistics import middle_of_ntp, ntp_timestamp
from tests.core.media.call import CALLER, CALLER_RTCP, Call, packet, parameters


def connected(**agreed: object) -> Call:
    call = Call()
    call.connect(parameters(**agreed))  # type: ignore[arg-type]
    return call


async def test_reports_go_out_about_every_five_seconds_at_irregular_times() -> None:
    call = connected()
    sent_at = []
    for _ in range(50 * 120):
        before = len(call.rtcp.sent)
        call.turn()
        if len(call.rtcp.sent) > before:
            sent_at.append(call.clock.now)
    gaps = [after - before for before, after in itertools.pairwise(sent_at)]
    # Reports are looked after once a second.
    assert min(gaps) >= 2.5
    assert max(gaps) <= 8.6
    assert sum(gaps) / len(gaps) == pytest.approx(5.5, abs=1.0)
    assert len({round(gap, 1) for gap in gaps}) > 3
    assert {destination for _, destination in call.rtcp.sent} == {encode_address(CALLER_RTCP)}


async def test_a_report_says_what_was_sent_and_heard_and_by_whom() -> None:
    call = connected()
    for number in range(300):
        if number != 100:
            call.arrive(packet(number))
        call.turn()
        if call.rtcp.sent:
            break
    report, description = call.reports[0]
    assert isinstance(report, SenderReport)
    assert report.ssrc == call.sent[0].ssrc
    assert report.packet_count == len(call.sent)
    assert report.octet_count == 160 * len(call.sent)
    assert report.blocks[0].ssrc == 7
    assert report.blocks[0].highest_sequence_number == number
    assert isinstance(description, SourceDescription)
    assert len(description.cname) == 24


async def test_rtp_and_ntp_time_of_a_report_name_one_instant() -> None:
    call = connected()
    while not call.rtcp.sent:
        call.turn()
    report = call.reports[0][0]
    assert isinstance(report, SenderReport)
    # The report left with the last packet, at the beginning of that packet's time.
    assert timestamp_difference(report.rtp_timestamp, call.sent[-1].timestamp) == pytest.approx(0, abs=1)
    reported_at_s = report.ntp_timestamp / 2**32 - 2_208_988_800 - 1_700_000_000
    assert reported_at_s == pytest.approx(call.clock.now - 0.02, abs=1e-3)


async def test_one_who_sends_nothing_reports_as_receiver() -> None:
    call = connected(sending=False)
    call.talk(range(400))
    assert [type(report) for report, *_ in call.reports[:1]] == [ReceiverReport]


async def test_reports_share_the_rtp_port_where_agreed_on() -> None:
    call = connected(rtcp=CALLER)
    call.turn(500)
    assert call.rtcp.sent == []
    assert any(192 <= data[1] <= 223 for data, _ in call.rtp.sent)


async def test_nothing_is_reported_where_nothing_may_be_sent() -> None:
    call = connected(rtcp=None, sending=False)
    call.turn(500)
    call.stream.close()
    assert call.rtcp.sent == []
    assert call.rtp.sent == []


async def test_the_callers_report_is_answered_with_its_time_and_its_age() -> None:
    call = connected()
    call.talk(range(10))
    call.arrive(
        serialise_compound(SenderReport(7, 0x1234_5678_9ABC_DEF0, 0, 10, 1600), SourceDescription(7, "caller")),
        CALLER_RTCP,
        rtcp=True,
    )
    heard_at_s = call.clock.now
    while not call.rtcp.sent:
        call.turn()
    report = call.reports[0][0]
    assert isinstance(report, SenderReport)
    assert report.blocks[0].last_sender_report == 0x5678_9ABC
    age_s = report.blocks[0].delay_since_last_sender_report / 65536
    assert age_s == pytest.approx(call.clock.now - 0.02 - heard_at_s, abs=0.001)


async def test_the_round_trip_lowers_the_estimate_of_quality() -> None:
    call = connected()
    call.talk(range(100))
    before = call.stream.statistics().mos
    sent_at = 1_700_000_000.0 + call.clock.now - 0.9
    block = ReportBlock(call.sent[0].ssrc, 0, 0, 0, 0, middle_of_ntp(ntp_timestamp(sent_at)), 0)
    call.arrive(serialise_compound(ReceiverReport(7, (block,))), CALLER_RTCP, rtcp=True)
    call.turn(60)
    assert call.stream.wire._control.round_trip_s == pytest.approx(0.9, abs=0.001)
    assert call.stream.statistics().mos < before - 0.3


async def test_reports_keep_a_silent_call_active() -> None:
    call = Call(MediaSettings(inactivity_s=2.0))
    call.connect()
    for _ in range(10):
        call.arrive(serialise_compound(ReceiverReport(7)), CALLER_RTCP, rtcp=True)
        call.turn(50)
    assert {type(event).__name__ for event in await call.events()} == {"AudioReceived"}


async def test_reports_from_elsewhere_or_of_garbage_are_counted_and_dropped() -> None:
    call = connected()
    call.arrive(serialise_compound(ReceiverReport(7)), ("203.0.113.66", 9), rtcp=True)
    call.arrive(b"\x80\xc8\x00\xff", CALLER_RTCP, rtcp=True)
    call.turn(60)
    assert (call.stream.counters.foreign, call.stream.counters.malformed) == (1, 1)


async def test_a_report_on_the_rtp_port_is_no_audio() -> None:
    call = connected()
    call.arrive(serialise_compound(ReceiverReport(7), Goodbye((7,))))
    call.turn()
    assert call.stream.wire._control.goodbye
    assert call.stream.counters.malformed == 0
    assert call.stream.statistics().packets_received == 0


async def test_the_end_is_said_once() -> None:
    call = connected()
    call.turn(10)
    call.stream.close()
    call.stream.close()
    assert len(call.reports) == 1
    report, _, goodbye = call.reports[0]
    assert isinstance(report, SenderReport)
    assert goodbye == Goodbye((call.sent[0].ssrc,))
