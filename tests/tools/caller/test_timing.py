"""Timing, from packets whose times are known."""

from dataclasses import replace

import pytest

from tests.tools.caller.packets import MS, SILENCE, START_NS, heard, received, trace
from tools.caller import timing
from tools.caller.trace import ReceivedPacket, Trace


def span(first: int, last: int) -> set[int]:
    return set(range(first, last))


def test_set_up_counts_from_the_reply() -> None:
    assert timing.setup(trace(span(7, 30), [])) == timing.Setup(40.0, 10.0, 150.0)


def test_set_up_of_a_call_without_packets_is_unknown() -> None:
    assert timing.setup(Trace()) == timing.Setup(None, None, None)


def test_silent_agent_has_no_greeting() -> None:
    assert timing.setup(trace(set(), [])).greeting_ms is None


def test_voice_to_voice_is_last_audible_to_first_audible() -> None:
    assert timing.voice_to_voice_ms(trace(span(60, 100), [(10, 30)]), 0) == 20 * (60 - 29)


def test_a_click_is_no_answer() -> None:
    assert timing.voice_to_voice_ms(trace({40} | span(60, 100), [(10, 30)]), 0) == 20 * (60 - 29)


def test_speech_that_began_before_the_caller_was_done_is_no_answer() -> None:
    assert timing.voice_to_voice_ms(trace(span(20, 40) | span(60, 80), [(10, 30)]), 0) == 20 * (60 - 29)


def test_what_comes_after_the_next_utterance_began_answers_that_one() -> None:
    both = trace(span(90, 120), [(10, 30), (60, 80)])
    assert timing.voice_to_voice_ms(both, 0) is None
    assert timing.voice_to_voice_ms(both, 1) == 20 * (90 - 79)


def test_utterance_that_was_never_said_has_no_answer() -> None:
    assert timing.voice_to_voice_ms(trace(span(60, 100), []), 0) is None


def test_barge_in_lasts_to_the_last_audible_packet() -> None:
    assert timing.onset_to_silence_ms(trace(span(40, 73), [(10, 30), (60, 100)]), 1) == 20 * (72 - 60)


def test_pause_between_two_words_of_the_agent_is_no_silence() -> None:
    paused = trace(span(40, 58) | span(72, 76), [(10, 30), (60, 100)])
    assert timing.onset_to_silence_ms(paused, 1) == 20 * (75 - 60)


def test_agent_that_never_stops_is_timed_to_its_real_end() -> None:
    assert timing.onset_to_silence_ms(trace(span(40, 150), [(10, 30), (60, 100)]), 1) == 20 * (149 - 60)


def test_nothing_is_interrupted_where_the_agent_was_silent() -> None:
    assert timing.onset_to_silence_ms(trace(span(40, 50), [(10, 30), (60, 100)]), 1) is None
    assert timing.onset_to_silence_ms(trace(span(40, 50), [(10, 30)]), 1) is None


def test_even_stream_has_no_fault() -> None:
    quality = timing.rtp_quality(trace(set(), []))
    assert quality == timing.RtpQuality(200, 0, 0, 0, 0, 0.0, 0.0, 0.0)


def test_faults_are_counted_once_each() -> None:
    packets = heard(set(), 100)
    packets[10], packets[11] = packets[11], packets[10]
    packets.insert(21, packets[20])
    del packets[51:53]
    quality = timing.rtp_quality(Trace(received=packets))
    assert (quality.lost, quality.duplicated, quality.reordered) == (2, 1, 1)
    assert quality.wrong_timestamp_steps == 0


def test_sequence_and_timestamp_may_wrap() -> None:
    # 65530 in the last cycle before the timestamp wraps as well.
    first = 2**32 // 160 - 5
    packets = [replace(received(place, first=first), sequence_number=(65530 + place) % 65536) for place in range(20)]
    stepping = [replace(packet, timestamp=(2**32 - 800 + 160 * place) % 2**32) for place, packet in enumerate(packets)]
    quality = timing.rtp_quality(Trace(received=stepping))
    assert (quality.lost, quality.reordered, quality.wrong_timestamp_steps) == (0, 0, 0)


def test_wrong_timestamp_steps_are_counted() -> None:
    packets = [
        replace(packet, timestamp=packet.timestamp + 80 * (place >= 5)) for place, packet in enumerate(heard(set(), 10))
    ]
    assert timing.rtp_quality(Trace(received=packets)).wrong_timestamp_steps == 1


def test_new_source_begins_a_sequence_of_its_own() -> None:
    packets = [*heard(set(), 10), *(received(10 + place, ssrc=2, first=40_000) for place in range(10))]
    quality = timing.rtp_quality(Trace(received=packets))
    assert (quality.received, quality.lost, quality.wrong_timestamp_steps) == (20, 0, 0)


def test_gap_errors_are_of_neighbours_only() -> None:
    packets: list[ReceivedPacket] = [
        received(place, at_ms=20 * place + (5 if place == 50 else 0)) for place in range(101) if place not in (80, 81)
    ]
    quality = timing.rtp_quality(Trace(received=packets))
    assert quality.gap_error_p50_ms == 0.0
    assert quality.gap_error_max_ms == pytest.approx(5.0)
    # Two of 97 gaps are off; the gap over the two lost packets is none.
    assert quality.gap_error_p99_ms == pytest.approx(5.0)


def test_keys_are_not_measured_as_audio() -> None:
    packets = [*heard(set(), 10), received(10, at_ms=193, payload_type=101, payload=b"\x01\x0a\x00\xa0")]
    quality = timing.rtp_quality(Trace(received=packets))
    assert (quality.received, quality.lost, quality.gap_error_max_ms) == (11, 0, 0.0)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1), (99.5, 100)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert timing.percentile([float(value) for value in range(1, 101)], percent) == expected


def test_percentile_of_nothing_is_unknown() -> None:
    assert timing.percentile([], 50) is None


def test_packets_carry_g711() -> None:
    assert len(SILENCE) == 160
    assert heard(set(), 1)[0].at_ns - START_NS < MS
