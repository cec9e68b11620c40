"""Twilio's buffer: when audio is played, when marks come back, what `clear` drops."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tools.caller.playout import PlayoutBuffer

MS = 1_000_000
FRAME = b"\xff" * 160


def test_audio_is_played_from_its_arrival_on_one_frame_behind_the_other() -> None:
    buffer = PlayoutBuffer()
    buffer.put(FRAME * 2, 1000 * MS)
    buffer.put(FRAME, 1005 * MS)
    assert buffer.ends_ns == 1060 * MS
    assert [frame.at_ns // MS for frame in buffer.advance(1019 * MS)] == [1000]
    assert buffer.next_due_ns == 1020 * MS
    assert [frame.at_ns // MS for frame in buffer.advance(1060 * MS)] == [1020, 1040]
    assert buffer.next_due_ns is None


def test_audio_that_comes_too_late_is_played_at_once_and_its_delay_is_told() -> None:
    buffer = PlayoutBuffer()
    buffer.put(FRAME, 1000 * MS)
    buffer.advance(1000 * MS)
    assert buffer.put(FRAME, 1012 * MS) == 8 * MS
    buffer.advance(1025 * MS)
    assert buffer.put(FRAME, 1047 * MS) == -7 * MS
    assert [frame.at_ns // MS for frame in buffer.advance(1047 * MS)] == [1047]


def test_frame_is_short_where_there_was_no_more_when_it_began() -> None:
    buffer = PlayoutBuffer()
    buffer.put(FRAME[:40], 1000 * MS)
    (short,) = buffer.advance(1000 * MS)
    buffer.put(FRAME, 1002 * MS)
    (whole,) = buffer.advance(1030 * MS)
    assert (len(short.payload), short.ends_ns) == (40, 1005 * MS)
    assert (len(whole.payload), whole.at_ns) == (160, 1005 * MS)


def test_mark_comes_back_once_all_before_it_was_played() -> None:
    buffer = PlayoutBuffer()
    buffer.mark("nothing before", 999 * MS)
    assert buffer.marks_due(999 * MS) == ["nothing before"]
    buffer.put(FRAME, 1000 * MS)
    buffer.mark("one", 1000 * MS)
    buffer.put(FRAME, 1000 * MS)
    buffer.mark("two", 1000 * MS)
    assert buffer.marks_due(1019 * MS) == []
    assert buffer.marks_due(1020 * MS) == ["one"]
    buffer.advance(1040 * MS)
    assert buffer.next_due_ns == 1040 * MS
    assert buffer.marks_due(1040 * MS) == ["two"]


def test_clear_drops_what_was_not_played_and_returns_every_mark() -> None:
    buffer = PlayoutBuffer()
    buffer.put(FRAME * 10, 1000 * MS)
    buffer.mark("end", 1000 * MS)
    assert len(buffer.advance(1030 * MS)) == 2
    assert buffer.clear(1030 * MS) == ["end"]
    assert buffer.advance(2000 * MS) == []
    assert buffer.marks_due(2000 * MS) == []
    # What comes next begins at once, though a frame was cut short.
    buffer.put(FRAME, 1031 * MS)
    assert [frame.at_ns // MS for frame in buffer.advance(1031 * MS)] == [1031]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 800)), min_size=1, max_size=40))
def test_every_byte_is_played_once_in_order_and_no_two_at_a_time(arrivals: list[tuple[int, int]]) -> None:
    buffer, now_ns, sent, frames = PlayoutBuffer(), 0, b"", []
    for number, (pause_ms, size) in enumerate(arrivals):
        now_ns += pause_ms * MS
        frames += buffer.advance(now_ns)
        payload = bytes([number]) * size
        sent += payload
        buffer.put(payload, now_ns)
        frames += buffer.advance(now_ns)
    frames += buffer.advance(buffer.ends_ns)
    assert b"".join(frame.payload for frame in frames) == sent
    assert all(later.at_ns >= earlier.ends_ns for earlier, later in itertools.pairwise(frames))
