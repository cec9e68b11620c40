"""RTP ports: even, bound, quarantined, exhausted."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PortsExhausted
from core.media.ports import PortPool
from tests.core.media.call import VirtualClock


def pool(clock: VirtualClock, first: int = 35_000, last: int = 35_009, quarantine_s: float = 5.0) -> PortPool:
    return PortPool(first, last, quarantine_s=quarantine_s, bind_retry_s=30.0, clock=clock, random=Random(1))


def take_all(ports: PortPool) -> list[int]:
    return [ports.take() for _ in range(ports.available)]


@pytest.mark.parametrize(("first", "last"), [(35_000, 35_009), (34_999, 35_010), (34_999, 35_009)])
def test_every_port_is_even_and_its_odd_neighbour_in_range(first: int, last: int) -> None:
    ports = pool(VirtualClock(), first, last)
    assert sorted(take_all(ports)) == [35_000, 35_002, 35_004, 35_006, 35_008]


def test_the_last_port_of_an_even_range_is_left_out_for_want_of_an_rtcp_port() -> None:
    assert 35_100 not in take_all(pool(VirtualClock(), 35_000, 35_100))


def test_a_taken_range_refuses_the_call_as_retryable() -> None:
    ports = pool(VirtualClock())
    take_all(ports)
    with pytest.raises(PortsExhausted) as refusal:
        ports.take()
    assert refusal.value.sip_status == 503
    assert refusal.value.retryable


def test_a_released_port_rests_before_its_next_call() -> None:
    clock = VirtualClock()
    ports = pool(clock)
    used = take_all(ports)[0]
    ports.release(used)
    clock.now += 4.9
    assert ports.available == 0
    clock.now += 0.2
    assert ports.take() == used


def test_the_port_that_rested_longest_comes_first() -> None:
    clock = VirtualClock()
    ports = pool(clock)
    taken = take_all(ports)
    for port in taken:
        ports.release(port)
        clock.now += 0.1
    clock.now += 5
    assert take_all(ports) == taken


def test_a_port_that_could_not_be_bound_is_tried_again_later_and_never_lost() -> None:
    clock = VirtualClock()
    ports = pool(clock)
    for _ in range(len(ports)):
        ports.put_aside(ports.take())
    assert ports.available == 0
    clock.now += 29.9
    assert ports.available == 0
    clock.now += 0.2
    assert ports.available == len(ports)


@given(st.lists(st.tuples(st.sampled_from(["take", "release", "aside", "wait"]), st.integers(0, 4)), max_size=60))
def test_whatever_happens_every_port_comes_back(steps: list[tuple[str, int]]) -> None:
    clock = VirtualClock()
    ports = pool(clock)
    taken: list[int] = []
    for step, choice in steps:
        if step == "take" and ports.available:
            taken.append(ports.take())
            assert len(set(taken)) == len(taken)
        elif step == "release" and taken:
            ports.release(taken.pop(choice % len(taken)))
        elif step == "aside" and taken:
            ports.put_aside(taken.pop(choice % len(taken)))
        elif step == "wait":
            clock.now += 3
        assert ports.taken == len(taken)
    for port in taken:
        ports.release(port)
    clock.now += 31
    assert sorted(take_all(ports)) == [35_000, 35_002, 35_004, 35_006, 35_008]
