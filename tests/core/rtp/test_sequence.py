"""core.rtp.sequence: numbers that wrap, jump and come late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rtp.sequence import SourceSequence, sequence_difference, timestamp_difference


def feed(sequence: SourceSequence, *numbers: int) -> list[int | None]:
    return [sequence.update(number) for number in numbers]


def test_numbers_go_on_after_65535() -> None:
    sequence = SourceSequence(65534)

    assert feed(sequence, 65534, 65535, 0, 1) == [65534, 65535, 65536, 65537]
    assert (sequence.expected, sequence.lost) == (4, 0)


def test_late_packet_from_before_the_wrap_keeps_its_place() -> None:
    sequence = SourceSequence(65534)

    assert feed(sequence, 65534, 0, 65535) == [65534, 65536, 65535]
    assert sequence.lost == 0


def test_each_wrap_counts() -> None:
    sequence = SourceSequence(0)
    for turn in range(3):
        for number in range(0, 65536, 1000):
            assert sequence.update(number) == turn * 65536 + number
    assert sequence.highest == 2 * 65536 + 65000


def test_missing_packets_are_lost_and_duplicates_count_as_received() -> None:
    sequence = SourceSequence(10)

    feed(sequence, 10, 11, 15, 15)

    assert (sequence.expected, sequence.received, sequence.lost) == (6, 4, 2)


def test_one_stray_packet_changes_nothing() -> None:
    sequence = SourceSequence(100)

    assert feed(sequence, 100, 40_000, 101) == [100, None, 101]
    assert sequence.restarts == 0


def test_two_packets_in_order_after_a_jump_restart_the_count() -> None:
    sequence = SourceSequence(100)
    feed(sequence, 100, 102)

    assert feed(sequence, 40_000, 40_001, 40_002) == [None, 40_001, 40_002]
    assert sequence.restarts == 1
    assert (sequence.received, sequence.lost) == (2, 0)
    assert (sequence.past_received, sequence.past_lost) == (2, 1)


@pytest.mark.parametrize(("ahead", "believed"), [(2999, True), (3000, False), (-99, True), (-100, False)])
def test_jumps_are_believed_within_the_limits_of_the_rfc(ahead: int, believed: bool) -> None:
    sequence = SourceSequence(30_000)
    feed(sequence, 30_000)

    assert (sequence.update(30_000 + ahead) is not None) is believed


def test_probation_wants_packets_in_order() -> None:
    sequence = SourceSequence(7, probation=2)

    assert feed(sequence, 7, 9, 10, 11) == [None, None, 10, 11]
    assert (sequence.received, sequence.expected) == (2, 2)


def test_probation_spans_a_wrap() -> None:
    assert feed(SourceSequence(65535, probation=2), 65535, 0, 1) == [None, 0, 1]


@given(st.integers(0, 65535), st.lists(st.integers(0, 65535), max_size=60))
def test_any_numbers_keep_the_counts_consistent(first: int, numbers: list[int]) -> None:
    sequence = SourceSequence(first)
    believed = sum(sequence.update(number) is not None for number in [first, *numbers])

    assert believed == sequence.received + sequence.past_received
    assert sequence.highest >= sequence.first
    assert sequence.expected == sequence.received + sequence.lost


@given(st.integers(0, 0xFFFFFFFF), st.integers(-(2**31), 2**31 - 1))
def test_timestamp_differences_survive_the_wrap(earlier: int, difference: int) -> None:
    assert timestamp_difference((earlier + difference) & 0xFFFFFFFF, earlier) == difference


@given(st.integers(0, 0xFFFF), st.integers(-(2**15), 2**15 - 1))
def test_sequence_differences_survive_the_wrap(earlier: int, difference: int) -> None:
    assert sequence_difference((earlier + difference) & 0xFFFF, earlier) == difference
