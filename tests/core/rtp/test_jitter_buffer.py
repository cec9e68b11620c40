"""core.rtp.jitter_buffer: order restored, nothing delayed that need not be."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rtp.jitter_buffer import Gap, JitterBuffer
from core.rtp.packet import RtpPacket

SSRC = 0xABCDEF01


def packet(number: int, *, timestamp: int | None = None, ssrc: int = SSRC, origin: int = 0) -> RtpPacket:
    """Packet `number` of a stream of 20 ms, counted without wrap."""
    time = origin + number * 160 if timestamp is None else timestamp
    return RtpPacket(0, number & 0xFFFF, time & 0xFFFFFFFF, ssrc, b"x" * 160)


def drain(buffer: JitterBuffer, now_s: float) -> list[int | Gap]:
    taken: list[int | Gap] = []
    while (item := buffer.get(now_s)) is not None:
        taken.append(item.sequence_number if isinstance(item, RtpPacket) else item)
    return taken


def play(buffer: JitterBuffer, *numbers: int, now_s: float = 0.0) -> list[int | Gap]:
    for number in numbers:
        buffer.put(packet(number), now_s)
    return drain(buffer, now_s)


def test_packets_in_order_pass_at_once() -> None:
    buffer = JitterBuffer()

    for number in range(5):
        assert play(buffer, number, now_s=number * 0.02) == [number]
    assert buffer.deadline_s is None


def test_delivered_packet_tells_when_it_arrived() -> None:
    buffer = JitterBuffer()
    play(buffer, 0)
    buffer.put(packet(2), 0.041)
    buffer.put(packet(1), 0.055)

    arrivals = [item.received_at_s for item in (buffer.get(1.0), buffer.get(1.0)) if isinstance(item, RtpPacket)]

    assert arrivals == [0.055, 0.041]


@pytest.mark.parametrize("first", [0, 65533, 65534, 65535])
def test_swapped_packets_come_out_in_order_also_at_the_wrap(first: int) -> None:
    buffer = JitterBuffer()

    taken = play(buffer, first, first + 2, first + 1, first + 4, first + 3)

    assert taken == [number & 0xFFFF for number in range(first, first + 5)]
    assert (buffer.packets_lost, buffer.packets_late, buffer.packets_duplicated) == (0, 0, 0)
    assert buffer.deadline_s is None


def test_gap_waits_for_the_window_and_no_longer() -> None:
    buffer = JitterBuffer(reorder_window_ms=60)
    play(buffer, 0, 1)

    assert play(buffer, 3, now_s=1.0) == []
    assert buffer.deadline_s == pytest.approx(1.06)
    assert drain(buffer, 1.059) == []
    assert drain(buffer, 1.061) == [Gap(1, 160), 3]
    assert (buffer.packets_lost, buffer.gaps) == (1, 1)
    assert buffer.deadline_s is None


def test_three_later_packets_end_the_wait() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)

    assert play(buffer, 3, 4) == []
    assert play(buffer, 5) == [Gap(1, 160), 3, 4, 5]


def test_gap_of_several_packets_is_one_gap_of_their_duration() -> None:
    buffer = JitterBuffer()

    assert play(buffer, 0, 1, 12, 13, 14) == [0, 1, Gap(10, 1600), 12, 13, 14]
    assert (buffer.packets_lost, buffer.gaps) == (10, 1)


def test_second_gap_behind_the_first_has_a_wait_of_its_own() -> None:
    buffer = JitterBuffer(reorder_window_ms=60)
    play(buffer, 0, 1)
    play(buffer, 3, now_s=1.00)
    play(buffer, 5, now_s=1.03)

    assert drain(buffer, 1.07) == [Gap(1, 160), 3]
    assert drain(buffer, 1.08) == []
    assert drain(buffer, 1.10) == [Gap(1, 160), 5]


def test_missing_packet_that_comes_in_time_leaves_no_gap() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 2, 3)

    assert play(buffer, 1) == [1, 2, 3]
    assert buffer.packets_lost == 0


def test_late_packet_is_dropped_and_counted_once() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1, 3, 4, 5)

    assert play(buffer, 2, 2) == []
    assert (buffer.packets_late, buffer.packets_duplicated) == (1, 1)


def test_duplicates_are_dropped_whether_delivered_or_waiting() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)

    assert play(buffer, 1, 3, 3) == []
    assert play(buffer, 2) == [2, 3]
    assert (buffer.packets_duplicated, buffer.packets_late) == (2, 0)


def test_gap_over_a_pause_stands_for_the_lost_packets_alone() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1, 2)
    for number in (4, 5, 6):
        buffer.put(packet(number, origin=80_000), 0.0)

    assert drain(buffer, 0.0) == [Gap(1, 160), 4, 5, 6]


def test_lost_key_packets_stand_for_no_audio() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1, 2)
    for number in (4, 5, 6):
        buffer.put(packet(number, timestamp=320), 0.0)

    assert drain(buffer, 0.0) == [Gap(1, 0), 4, 5, 6]


def test_loss_of_the_second_packet_has_its_share_of_the_time() -> None:
    assert play(JitterBuffer(), 0, 2, 3, 4) == [0, Gap(1, 160), 2, 3, 4]


def test_absurd_timestamps_make_no_endless_gap() -> None:
    buffer = JitterBuffer()
    for number, timestamp in ((0, 0), (2, 2**31 - 1), (3, 5), (4, 2**32 - 1)):
        buffer.put(packet(number, timestamp=timestamp), 0.0)

    assert drain(buffer, 0.0) == [0, Gap(1, 960), 2, 3, 4]


def test_change_of_packet_time_is_learnt() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)
    for number in range(2, 6):
        buffer.put(packet(number, timestamp=160 + 320 * (number - 1)), 0.0)
    drain(buffer, 0.0)
    for number in range(7, 10):
        buffer.put(packet(number, timestamp=160 + 320 * (number - 1)), 0.0)

    assert drain(buffer, 0.0)[0] == Gap(1, 320)


def test_timestamp_wrap_does_not_change_a_gap() -> None:
    buffer = JitterBuffer()
    for number in (0, 1, 3, 4, 5):
        buffer.put(packet(number, origin=2**32 - 200), 0.0)

    assert drain(buffer, 0.0) == [0, 1, Gap(1, 160), 3, 4, 5]


def test_new_source_is_taken_with_its_second_packet_and_nothing_is_missing() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)
    buffer.put(packet(40_000, ssrc=7), 0.0)
    assert drain(buffer, 0.0) == []

    buffer.put(packet(40_001, ssrc=7), 0.0)

    assert drain(buffer, 0.0) == [40_000, 40_001]
    assert (buffer.resets, buffer.packets_lost) == (1, 0)


def test_stray_packet_of_another_source_is_ignored() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)
    buffer.put(packet(500, ssrc=7), 0.0)
    assert play(buffer, 2) == [2]
    buffer.put(packet(900, ssrc=7), 0.0)

    assert play(buffer, 3) == [3]
    assert (buffer.resets, buffer.packets_discarded) == (0, 1)


def test_far_jump_starts_anew_without_a_gap() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1, 3)

    assert play(buffer, 30_000, 30_001, 30_002) == [3, 30_000, 30_001, 30_002]
    assert (buffer.resets, buffer.packets_lost) == (1, 0)


def test_jump_back_starts_anew() -> None:
    buffer = JitterBuffer()
    play(buffer, 5_000)

    assert play(buffer, 1_000, 1_001) == [1_000, 1_001]


def test_reset_forgets_what_waits() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 2)

    buffer.reset()

    assert drain(buffer, 9.0) == []
    assert buffer.deadline_s is None
    assert buffer.packets_discarded == 1
    assert play(buffer, 900) == [900]


def test_what_nobody_takes_is_bounded_and_the_oldest_falls_out() -> None:
    buffer = JitterBuffer(capacity=4)

    assert play(buffer, *range(10)) == [6, 7, 8, 9]
    assert buffer.packets_discarded == 6


def test_bound_holds_when_a_gap_is_released() -> None:
    buffer = JitterBuffer(capacity=2)

    assert play(buffer, 0, 2, 3, 4) == [3, 4]


def test_late_packets_are_told_apart_after_a_long_outage() -> None:
    buffer = JitterBuffer()
    play(buffer, 0, 1)

    assert play(buffer, 1_001, 1_002, 1_003)[0] == Gap(999, 999 * 160)
    assert play(buffer, 950) == []
    assert buffer.packets_lost == 999


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_lossy_stream_comes_out_in_order_with_true_time(seed: int) -> None:
    source = random.Random(seed)
    origin, count = 65_400, 400
    sent = [number for number in range(count) if number < 2 or source.random() > 0.05]
    arrivals = sorted((number * 0.02 + (source.random() * 0.035 if number > 1 else 0), number) for number in sent)
    buffer = JitterBuffer()
    taken: list[RtpPacket | Gap] = []
    for now_s, number in arrivals:
        buffer.put(packet(origin + number), now_s)
        while (item := buffer.get(now_s)) is not None:
            taken.append(item)
    while (item := buffer.get(1e9)) is not None:
        taken.append(item)

    numbers = [(item.sequence_number - origin) & 0xFFFF for item in taken if isinstance(item, RtpPacket)]
    gaps = [item for item in taken if isinstance(item, Gap)]
    assert numbers == sent
    assert sum(gap.packets for gap in gaps) == buffer.packets_lost == sent[-1] + 1 - len(sent)
    assert all(gap.duration == 160 * gap.packets for gap in gaps)


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2), st.floats(0, 1)), max_size=80
    )
)
def test_any_packets_keep_it_bounded_and_alive(arrivals: list[tuple[int, int, int, float]]) -> None:
    buffer = JitterBuffer(capacity=8)
    now_s = 0.0
    for sequence_number, timestamp, ssrc, elapsed_s in arrivals:
        now_s += elapsed_s
        buffer.put(RtpPacket(0, sequence_number, timestamp, ssrc, b""), now_s)
        if sequence_number % 3 == 0:
            item = buffer.get(now_s)
            assert item is None or isinstance(item, RtpPacket) or 0 <= item.duration <= item.packets * 960
    taken = drain(buffer, now_s + 1e6)

    assert len(taken) <= 8 + 8
    assert buffer.deadline_s is None
