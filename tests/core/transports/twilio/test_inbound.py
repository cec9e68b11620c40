"""The caller's time stays true, whatever the network makes of their audio."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.transports.twilio.inbound import GAP_FILLED_MS_MAX, Inbound
from core.transports.twilio.messages import Media

PACKET = b"\x00\x10" * 160


def media(chunk: int, timestamp_ms: int | None = None) -> Media:
    return Media(chunk, (chunk - 1) * 20 if timestamp_ms is None else timestamp_ms, 160)


def lengths_ms(inbound: Inbound, message: Media, at_s: float = 0.0) -> list[tuple[float, bool]]:
    return [(len(event.pcm) / 16, event.concealed) for event in inbound.receive(message, PACKET, at_s)]


def test_audio_in_order_passes_at_once_even_in_a_burst() -> None:
    inbound = Inbound()
    for chunk in range(1, 51):
        assert lengths_ms(inbound, media(chunk), at_s=7.0) == [(20, False)]
    assert (inbound.received, inbound.lost) == (50, 0)


def test_stream_need_not_begin_at_zero() -> None:
    assert lengths_ms(Inbound(), media(1, 178)) == [(20, False)]


def test_missing_stretch_is_filled() -> None:
    inbound = Inbound()
    lengths_ms(inbound, media(1))
    assert lengths_ms(inbound, media(5)) == [(60, True), (20, False)]
    assert inbound.lost == 3


def test_wavering_clock_is_no_gap() -> None:
    inbound = Inbound()
    for chunk, at_ms in enumerate([0, 21, 39, 60, 85, 99, 120], start=1):
        assert lengths_ms(inbound, media(chunk, at_ms)) == [(20, False)]


def test_long_hole_is_filled_up_to_a_bound() -> None:
    inbound = Inbound()
    lengths_ms(inbound, media(1))
    assert lengths_ms(inbound, media(2, 10**12)) == [(GAP_FILLED_MS_MAX, True), (20, False)]


def test_repeated_message_is_dropped_and_counted() -> None:
    inbound = Inbound()
    lengths_ms(inbound, media(1))
    lengths_ms(inbound, media(2))
    assert lengths_ms(inbound, media(2)) == []
    assert lengths_ms(inbound, media(1)) == []
    assert (inbound.received, inbound.repeated) == (2, 2)


def test_without_counts_the_time_tells_what_was_there_before() -> None:
    inbound = Inbound()
    lengths_ms(inbound, media(0, 100))
    assert lengths_ms(inbound, media(0, 60)) == []
    assert lengths_ms(inbound, media(0, 160)) == [(40, True), (20, False)]
    assert inbound.lost == 0


def test_another_stream_counts_from_its_own_start() -> None:
    inbound = Inbound()
    lengths_ms(inbound, media(500))
    inbound.restart()
    assert lengths_ms(inbound, media(1)) == [(20, False)]
    assert inbound.lost == 0


def test_jitter_is_what_arrivals_deviate_from_the_timestamps() -> None:
    even, uneven = Inbound(), Inbound()
    for chunk in range(1, 200):
        lengths_ms(even, media(chunk), at_s=chunk * 0.02)
        lengths_ms(uneven, media(chunk), at_s=chunk * 0.02 + (chunk % 2) * 0.01)
    assert even.jitter_ms == pytest.approx(0, abs=0.01)
    assert uneven.jitter_ms == pytest.approx(10, abs=0.5)


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), max_size=30))
def test_any_counts_and_times_are_survived_and_bounded(messages: list[tuple[int, int]]) -> None:
    inbound = Inbound()
    for chunk, at_ms in messages:
        assert sum(length for length, _ in lengths_ms(inbound, media(chunk, at_ms))) <= GAP_FILLED_MS_MAX + 20
    assert inbound.lost <= 3000 * len(messages)


def test_timestamps_that_run_away_do_not_make_more_audio_than_there_was_time_for() -> None:
    inbound = Inbound()
    given = b"".join(
        event.pcm
        for count in range(200)
        for event in inbound.receive(Media(count + 1, count * 1020, 160), b"\x01\x00" * 160, 10.0)
    )
    assert len(given) / 16 <= 200 * 20 + 10_000
