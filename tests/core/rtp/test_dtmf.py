"""core.rtp.dtmf: each key is told once, whatever is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rtp.dtmf import KEYS, DtmfReceiver, key_payloads
from core.rtp.packet import RtpError, RtpPacket


def event(payload: bytes, timestamp: int, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(101, 0, timestamp, ssrc, payload)


def press(receiver: DtmfReceiver, key: str, timestamp: int, *, without: tuple[int, ...] = ()) -> list[str | None]:
    payloads = key_payloads(key, duration_ms=100, ptime_ms=20)
    return [receiver.receive(event(payload, timestamp)) for at, payload in enumerate(payloads) if at not in without]


@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_told_once_with_its_first_packet(key: str) -> None:
    assert press(DtmfReceiver(), key, 1000) == [key] + [None] * 6


def test_captured_press_of_7_is_told() -> None:
    receiver = DtmfReceiver()
    payloads = [bytes.fromhex(text) for text in ("070a00a0", "070a0140", "078a01e0", "078a01e0")]

    assert [receiver.receive(event(payload, 0x99)) for payload in payloads] == ["7", None, None, None]


@pytest.mark.parametrize("without", [(0,), (0, 1, 2, 3), (4, 5, 6), (1, 5), (0, 1, 2, 3, 4, 5)])
def test_lost_packets_of_a_key_do_not_matter(without: tuple[int, ...]) -> None:
    receiver = DtmfReceiver()

    told = press(receiver, "5", 1000, without=without) + press(receiver, "5", 4000) + press(receiver, "6", 8000)

    assert [key for key in told if key] == ["5", "5", "6"]


def test_same_key_pressed_again_is_told_again() -> None:
    receiver = DtmfReceiver()

    assert press(receiver, "0", 1000)[0] == press(receiver, "0", 3000)[0] == "0"


def test_late_packet_of_an_earlier_key_is_ignored() -> None:
    receiver = DtmfReceiver()
    press(receiver, "1", 1000)
    press(receiver, "2", 3000)

    assert receiver.receive(event(key_payloads("1", 100, 20)[-1], 1000)) is None
    assert press(receiver, "3", 5000)[0] == "3"


def test_timestamps_wrap() -> None:
    receiver = DtmfReceiver()
    press(receiver, "1", 2**32 - 100)

    assert press(receiver, "2", 900)[0] == "2"
    assert receiver.receive(event(key_payloads("1", 100, 20)[-1], 2**32 - 100)) is None


def test_source_that_counts_time_anew_is_heard() -> None:
    receiver = DtmfReceiver()
    press(receiver, "1", 1_000_000)

    assert press(receiver, "1", 10)[0] == "1"


def test_new_source_is_heard_at_the_same_timestamp() -> None:
    receiver = DtmfReceiver()
    press(receiver, "1", 1000)

    assert receiver.receive(event(key_payloads("1", 100, 20)[0], 1000, ssrc=2)) == "1"


@pytest.mark.parametrize("segment", [0xFFFF, 409 * 160])
def test_press_longer_than_its_field_is_one_press(segment: int) -> None:
    receiver = DtmfReceiver()
    segments = [
        event(b"\x05\x0a" + segment.to_bytes(2, "big"), 1000),
        event(bytes.fromhex("050a00a0"), 1000 + segment),
        event(bytes.fromhex("058a0140"), 1000 + segment),
    ]

    assert [receiver.receive(packet) for packet in segments] == ["5", None, None]
    assert not receiver.pressed


def test_other_key_in_place_of_a_continuation_is_told() -> None:
    receiver = DtmfReceiver()
    receiver.receive(event(bytes.fromhex("050affff"), 1000))

    assert receiver.receive(event(bytes.fromhex("060a00a0"), 1000 + 0xFFFF)) == "6"


def test_other_event_at_the_same_timestamp_is_another_key() -> None:
    receiver = DtmfReceiver()
    press(receiver, "1", 1000)

    assert press(receiver, "2", 1000)[0] == "2"


def test_key_is_down_until_its_end() -> None:
    receiver = DtmfReceiver()
    assert not receiver.pressed
    press(receiver, "1", 1000, without=(4, 5, 6))
    assert receiver.pressed
    press(receiver, "2", 3000)
    assert not receiver.pressed


@pytest.mark.parametrize("number", [16, 32, 66, 255])
def test_event_that_is_no_key_is_not_told(number: int) -> None:
    assert DtmfReceiver().receive(event(bytes((number, 10, 0, 160)), 1000)) is None


@pytest.mark.parametrize("length", range(4))
def test_short_payload_is_refused(length: int) -> None:
    with pytest.raises(RtpError):
        DtmfReceiver().receive(event(bytes(length), 1000))


@given(st.lists(st.tuples(st.binary(max_size=6), st.integers(0, 2**32 - 1)), max_size=30))
def test_any_payloads_are_taken_or_refused(payloads: list[tuple[bytes, int]]) -> None:
    receiver = DtmfReceiver()
    for payload, timestamp in payloads:
        try:
            key = receiver.receive(event(payload, timestamp))
        except RtpError:
            continue
        assert key is None or key in KEYS


def test_sent_press_grows_and_ends_three_times() -> None:
    assert [payload.hex() for payload in key_payloads("#", duration_ms=60, ptime_ms=20)] == [
        "0b0a00a0",
        "0b0a0140",
        "0b8a01e0",
        "0b8a01e0",
        "0b8a01e0",
    ]


def test_shortest_press_is_one_packet_time() -> None:
    assert [payload.hex() for payload in key_payloads("d", 1, 30)] == ["0f8a00f0"] * 3


@pytest.mark.parametrize("key", ["", "E", "12", "٣", " "])
def test_what_is_no_key_cannot_be_sent(key: str) -> None:
    with pytest.raises(ValueError, match="Not a key"):
        key_payloads(key, 100, 20)


def test_press_that_no_event_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="9000 ms"):
        key_payloads("1", 9000, 20)
