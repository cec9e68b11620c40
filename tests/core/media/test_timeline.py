"""The caller's audio on one unbroken line of time."""

import pytest

from core.media.timeline import Timeline

PATIENCE_S = 0.06


def begun() -> Timeline:
    """One packet of 20 ms arrived at 0 s, under timestamp 1000."""
    timeline = Timeline(0.0, 8000, PATIENCE_S)
    timeline.audio(1, 1000, 160, 0.0)
    return timeline


def clocked(timeline: Timeline, start_s: float, end_s: float) -> float:
    """What the clock fills in when it is asked every 20 ms."""
    filled_s = 0.0
    for n in range(round((end_s - start_s) / 0.02)):
        filled_s += timeline.overdue(start_s + (n + 1) * 0.02)
    return filled_s


def test_packets_in_step_need_no_stand_in() -> None:
    timeline = begun()
    for n in range(1, 50):
        assert timeline.overdue(n * 0.02) == 0
        assert timeline.audio(1, 1000 + 160 * n, 160, n * 0.02) == 0


def test_a_packet_late_within_patience_needs_none_either() -> None:
    timeline = begun()
    assert clocked(timeline, 0.0, 0.06) == 0
    assert timeline.audio(1, 1160, 160, 0.075) == 0


def test_silence_goes_by_the_clock_from_the_end_of_patience_on() -> None:
    timeline = begun()
    assert clocked(timeline, 0.0, 0.06) == 0
    assert clocked(timeline, 0.06, 1.06) == pytest.approx(1.0, abs=0.021)


def test_a_source_that_never_sends_is_silence_too() -> None:
    assert clocked(Timeline(5.0, 8000, PATIENCE_S), 5.0, 7.0) == pytest.approx(1.94, abs=0.021)


def test_after_a_pause_the_timestamp_settles_the_account() -> None:
    timeline = begun()
    filled_s = clocked(timeline, 0.0, 1.0)
    filled_s += timeline.audio(1, 1000 + 8000, 160, 1.0)
    # The packet's own 20 ms and the stand-ins make up the second.
    assert filled_s + 0.02 == pytest.approx(1.0)


def test_a_burst_after_a_stalled_network_is_not_stretched_further() -> None:
    timeline = begun()
    clocked(timeline, 0.0, 0.2)
    assert [timeline.audio(1, 1160 + 160 * n, 160, 0.2) for n in range(10)] == [0.0] * 10


def test_lost_packets_are_stood_in_for_once() -> None:
    timeline = begun()
    assert timeline.lost(320, 0.06) == pytest.approx(0.04)
    assert timeline.audio(1, 1000 + 480, 160, 0.06) == 0


def test_what_the_clock_has_filled_in_is_not_filled_in_for_the_loss_again() -> None:
    timeline = begun()
    filled_s = clocked(timeline, 0.0, 0.3)
    filled_s += timeline.lost(14 * 160, 0.3)
    filled_s += timeline.audio(1, 1000 + 15 * 160, 160, 0.3)
    assert filled_s == pytest.approx(0.28)


def test_a_forged_jump_of_the_timestamp_makes_no_more_silence_than_time_has_passed() -> None:
    timeline = begun()
    assert timeline.audio(1, 1000 + 160 + 0x7000_0000, 160, 0.02) <= 0.04


def test_a_timestamp_that_goes_back_needs_nothing() -> None:
    assert begun().audio(1, 500, 160, 0.02) == 0


def test_another_source_begins_a_stretch_of_its_own() -> None:
    timeline = begun()
    assert timeline.audio(2, 0x9000_0000, 160, 0.02) == 0
    assert timeline.audio(2, 0x9000_0000 + 160, 160, 0.04) == 0


def test_the_timestamp_wraps() -> None:
    timeline = Timeline(0.0, 8000, PATIENCE_S)
    timeline.audio(1, 2**32 - 160, 160, 0.0)
    assert timeline.audio(1, 0, 160, 0.02) == 0
    assert timeline.audio(1, 320, 160, 0.06) == pytest.approx(0.02)


def test_losses_before_the_first_packet_are_nobodys() -> None:
    assert Timeline(0.0, 8000, PATIENCE_S).lost(1600, 1.0) == 0


def test_a_machine_that_slept_does_not_hear_it_all_as_silence() -> None:
    timeline = begun()
    assert timeline.overdue(3600.0) == 1.0
    assert clocked(timeline, 3600.0, 3600.1) == pytest.approx(0.1, abs=0.021)
