"""Whose packets are taken."""

from core.media.datagram_socket import encode_address
from core.media.source_lock import LatchPolicy, SourceLock

SDP = encode_address(("192.0.2.7", 40_000))
OTHER_PORT = encode_address(("192.0.2.7", 51_234))
ELSEWHERE = encode_address(("198.51.100.9", 40_000))
INTRUDER = encode_address(("203.0.113.66", 6_666))


def lock_on(policy: LatchPolicy, packets: int = 3) -> SourceLock:
    lock = SourceLock(policy, packets)
    lock.expect(SDP)
    return lock


def accepted(lock: SourceLock, source: bytes, packets: int, ssrc: int = 7) -> list[bool]:
    return [lock.accepts(source, ssrc) for _ in range(packets)]


def test_the_sdp_address_is_heard_from_its_first_packet_on_and_locks() -> None:
    lock = lock_on("any")
    assert accepted(lock, SDP, 3) == [True] * 3
    assert lock.locked == SDP
    assert accepted(lock, INTRUDER, 10) == [False] * 10


def test_our_packets_go_where_the_sdp_says_until_the_caller_is_found() -> None:
    lock = lock_on("any")
    assert lock.destination == SDP
    accepted(lock, ELSEWHERE, 2)
    assert lock.destination == SDP
    accepted(lock, ELSEWHERE, 1)
    assert lock.destination == ELSEWHERE


def test_a_caller_behind_nat_is_heard_after_some_packets_in_a_row() -> None:
    assert accepted(lock_on("any"), ELSEWHERE, 5) == [False, False, True, True, True]


def test_packets_that_are_not_in_a_row_lock_nothing() -> None:
    lock = lock_on("any")
    for _ in range(10):
        assert not lock.accepts(ELSEWHERE, 7)
        assert not lock.accepts(INTRUDER, 8)
    assert lock.locked is None


def test_a_source_that_changes_its_ssrc_while_it_is_judged_starts_again() -> None:
    lock = lock_on("any")
    assert [lock.accepts(ELSEWHERE, ssrc) for ssrc in (1, 1, 2, 2, 2)] == [False, False, False, False, True]


def test_policy_host_takes_another_port_but_no_other_host() -> None:
    lock = lock_on("host")
    assert accepted(lock, ELSEWHERE, 10) == [False] * 10
    assert accepted(lock, OTHER_PORT, 3) == [False, False, True]


def test_policy_address_takes_the_sdp_address_only() -> None:
    lock = lock_on("address")
    assert accepted(lock, OTHER_PORT, 10) == [False] * 10
    assert accepted(lock, ELSEWHERE, 10) == [False] * 10
    assert lock.accepts(SDP, 7)


def test_once_locked_a_new_ssrc_of_the_source_passes() -> None:
    lock = lock_on("any")
    accepted(lock, ELSEWHERE, 3)
    assert lock.accepts(ELSEWHERE, 99)


def test_an_intruder_who_was_first_loses_to_the_sdp_address() -> None:
    lock = lock_on("any")
    accepted(lock, INTRUDER, 5)
    assert accepted(lock, SDP, 4) == [False, False, True, True]
    assert accepted(lock, INTRUDER, 5) == [False] * 5


def test_a_re_negotiation_to_another_address_finds_the_caller_anew() -> None:
    lock = lock_on("any")
    accepted(lock, SDP, 3)
    lock.expect(ELSEWHERE)
    assert lock.destination == ELSEWHERE
    assert accepted(lock, ELSEWHERE, 3) == [True] * 3
    assert lock.locked == ELSEWHERE


def test_what_the_caller_moved_away_from_does_not_lock_again_at_once() -> None:
    lock = lock_on("any")
    accepted(lock, SDP, 3)
    lock.expect(ELSEWHERE)
    assert accepted(lock, SDP, 20) == [False] * 20
    assert accepted(lock, OTHER_PORT, 3) == [False, False, True]


def test_a_refresh_with_the_same_address_interrupts_nothing_yet_lets_the_caller_move() -> None:
    lock = lock_on("any")
    accepted(lock, ELSEWHERE, 3)
    lock.expect(SDP)
    assert lock.destination == ELSEWHERE
    assert lock.accepts(ELSEWHERE, 7)
    assert accepted(lock, OTHER_PORT, 3) == [False, False, True]
    assert lock.destination == OTHER_PORT


def test_reports_are_taken_from_any_port_of_the_callers_hosts() -> None:
    lock = lock_on("any")
    accepted(lock, ELSEWHERE, 3)
    assert lock.accepts_control(OTHER_PORT)
    assert lock.accepts_control(encode_address(("198.51.100.9", 9)))
    assert not lock.accepts_control(INTRUDER)
