"""core.rtp.sender: one clock that never stops."""

from core.rtp.dtmf import key_payloads
from core.rtp.packet import RtpPacket
from core.rtp.rtcp import ReportBlock
from core.rtp.sender import RtpSender

SPEECH = b"\x12" * 160
SILENCE = b"\xff" * 160


def sender(sequence_number: int = 10, timestamp: int = 1000) -> RtpSender:
    return RtpSender(0xCAFE, sequence_number, timestamp, payload_type=0)


def summary(datagram: bytes) -> tuple[int, int, bool]:
    packet = RtpPacket.parse(datagram)
    assert packet.ssrc == 0xCAFE
    return packet.sequence_number, packet.timestamp, packet.marker


def test_numbers_and_timestamps_are_continuous_and_the_first_packet_is_marked() -> None:
    stream = sender()

    assert [summary(stream.audio(SPEECH, 160)) for _ in range(3)] == [
        (10, 1000, True),
        (11, 1160, False),
        (12, 1320, False),
    ]


def test_speech_after_silence_begins_a_talkspurt_on_the_same_clock() -> None:
    stream = sender()
    sent = [stream.audio(SPEECH, 160), stream.silence(SILENCE, 160), stream.silence(SILENCE, 160)]
    sent += [stream.audio(SPEECH, 160), stream.audio(SPEECH, 160)]

    assert [summary(datagram) for datagram in sent] == [
        (10, 1000, True),
        (11, 1160, False),
        (12, 1320, False),
        (13, 1480, True),
        (14, 1640, False),
    ]


def test_pause_moves_the_clock_and_not_the_count() -> None:
    stream = sender()
    stream.audio(SPEECH, 160)
    stream.pause(8000)

    assert summary(stream.audio(SPEECH, 160)) == (11, 9160, True)


def test_numbers_wrap() -> None:
    stream = sender(65535, 2**32 - 160)

    assert [summary(stream.audio(SPEECH, 160))[:2] for _ in range(2)] == [(65535, 2**32 - 160), (0, 0)]
    stream.timestamp = 2**32 - 80
    stream.pause(160)
    assert stream.timestamp == 80


def test_key_keeps_its_timestamp_while_the_clock_goes_on() -> None:
    stream = sender()
    stream.audio(SPEECH, 160)
    keys = [stream.event(payload, 160, 101, first=at == 0) for at, payload in enumerate(key_payloads("1", 40, 20))]

    assert [summary(datagram) for datagram in keys] == [
        (11, 1160, True),
        (12, 1160, False),
        (13, 1160, False),
        (14, 1160, False),
    ]
    assert RtpPacket.parse(keys[0]).payload_type == 101
    assert summary(stream.audio(SPEECH, 160)) == (15, 1160 + 4 * 160, True)


def test_payload_type_may_change() -> None:
    stream = sender()
    stream.payload_type = 8

    assert RtpPacket.parse(stream.audio(SPEECH, 160)).payload_type == 8


def test_report_counts_packets_and_payload_bytes() -> None:
    stream = sender()
    stream.audio(SPEECH, 160)
    stream.silence(SILENCE, 160)
    stream.pause(160)
    block = ReportBlock(1, 0, 0, 0, 0)

    report = stream.report(123 << 32, 1480, (block,))

    assert (report.ssrc, report.packet_count, report.octet_count) == (0xCAFE, 2, 320)
    assert (report.ntp_timestamp, report.rtp_timestamp, report.blocks) == (123 << 32, 1480, (block,))
