"""When within a packet's time a socket is read."""

from random import Random

from core.media.receive_phase import ReceivePhase
from core.media.wheel import SLOT_S


def observed(waits_s: list[float]) -> ReceivePhase:
    phase = ReceivePhase()
    for waited_s in waits_s:
        phase.note(waited_s)
    return phase


def test_packets_that_always_wait_are_read_as_much_earlier() -> None:
    assert observed([5.5 * SLOT_S] * 50).earlier() == 5


def test_packets_that_do_not_wait_leave_everything_as_it_is() -> None:
    assert observed([0.5 * SLOT_S] * 50).earlier() == 0


def test_a_single_second_of_packets_is_the_least_to_judge_by() -> None:
    assert observed([5.5 * SLOT_S] * 49).earlier() == 0


def test_packets_that_just_miss_their_turn_are_read_a_slot_later() -> None:
    # Half come in time, half a moment too late: one slot later has them all.
    assert observed([0.2 * SLOT_S, 7.8 * SLOT_S] * 25).earlier() == 7


def test_jitter_is_left_room() -> None:
    random = Random(3)
    waits_s = [SLOT_S * random.uniform(3.0, 5.99) for _ in range(50)]
    assert observed(waits_s).earlier() == 3


def test_each_judgement_begins_anew() -> None:
    phase = observed([5.5 * SLOT_S] * 50)
    assert phase.earlier() == 5
    assert phase.earlier() == 0
