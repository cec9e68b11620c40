"""Audio queued ahead of the wire: order, room, what was heard."""

import asyncio

import pytest

from core.audio.codecs import create_codec
from core.errors import CallEnded
from core.media.playout_queue import PlayoutQueue

TONE = b"\x00\x10" * 160
LOUD = create_codec("PCMU").encode(TONE)


@pytest.fixture
def queue() -> PlayoutQueue:
    queue = PlayoutQueue(lead_ms=80)
    queue.configure(create_codec("PCMU"), 20)
    return queue


async def waits(task: asyncio.Task[None]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_audio_comes_out_packet_by_packet_and_encoded(queue: PlayoutQueue) -> None:
    await queue.put(TONE + TONE)
    assert [queue.pop(), queue.pop(), queue.pop()] == [LOUD, LOUD, None]


async def test_less_than_a_packet_waits_for_the_next_call(queue: PlayoutQueue) -> None:
    await queue.put(TONE[:200])
    await queue.put(TONE[200:] + TONE[:100])
    assert queue.pop() == LOUD
    assert queue.queued_ms == 6.25


async def test_what_is_left_is_filled_up_with_silence_when_nothing_follows(queue: PlayoutQueue) -> None:
    await queue.put(TONE[:160])
    assert queue.pop() == LOUD[:80] + b"\xff" * 80
    assert queue.pop() is None
    assert queue.played_ms == 10


async def test_pcm_that_ends_within_a_codec_unit_is_not_lost(queue: PlayoutQueue) -> None:
    for at in range(0, len(TONE), 3):
        await queue.put(TONE[at : at + 3])
    assert queue.pop() == LOUD


async def test_a_writer_waits_while_more_than_the_lead_is_queued(queue: PlayoutQueue) -> None:
    await queue.put(TONE * 4)
    playing = asyncio.create_task(queue.put(TONE * 2))
    assert await waits(playing)
    assert queue.queued_ms == 100
    assert not queue.wants_waking
    queue.pop()
    assert queue.wants_waking
    queue.wake()
    assert await waits(playing)
    assert queue.queued_ms == 100
    queue.pop()
    queue.wake()
    await playing
    assert queue.queued_ms == 80


async def test_writers_take_turns_so_that_their_audio_does_not_mix(queue: PlayoutQueue) -> None:
    quiet = b"\x00\x01" * 160
    writers = [asyncio.create_task(queue.put(pcm * 8)) for pcm in (TONE, quiet)]
    taken: list[bytes] = []
    while len(taken) < 16:
        await asyncio.sleep(0)
        if (frame := queue.pop()) is not None:
            taken.append(frame)
        queue.wake()
    await asyncio.gather(*writers)
    assert taken == [LOUD] * 8 + [create_codec("PCMU").encode(quiet)] * 8


async def test_clear_drops_what_is_queued_and_what_a_writer_still_holds(queue: PlayoutQueue) -> None:
    playing = asyncio.create_task(queue.put(TONE * 100))
    follower = asyncio.create_task(queue.put(TONE))
    assert await waits(playing)
    queue.clear()
    assert queue.queued_ms == 0
    await playing
    await follower
    assert queue.pop() is None
    assert queue.played_ms == 0


async def test_clear_leaves_nothing_of_a_partial_packet(queue: PlayoutQueue) -> None:
    await queue.put(TONE[:101])
    queue.clear()
    assert queue.queued_ms == 0
    await queue.put(TONE)
    assert [queue.pop(), queue.pop()] == [LOUD, None]


async def test_audio_after_a_clear_is_played(queue: PlayoutQueue) -> None:
    await queue.put(TONE * 3)
    queue.clear()
    await queue.put(TONE)
    assert [queue.pop(), queue.pop()] == [LOUD, None]
    assert queue.played_ms == 20


async def test_queued_and_played_count_what_was_accepted_and_what_went_out(queue: PlayoutQueue) -> None:
    await queue.put(TONE * 4)
    queue.pop()
    assert (queue.queued_ms, queue.played_ms) == (60, 20)


async def test_a_key_waits_for_the_audio_before_it_and_goes_before_what_follows(queue: PlayoutQueue) -> None:
    await queue.put(TONE + TONE[:160])
    queue.put_digits("5")
    await queue.put(TONE)
    assert queue.pop_digit() is None
    queue.pop()
    assert queue.pop_digit() is None
    assert queue.pop() == LOUD[:80] + b"\xff" * 80
    assert queue.pop_digit() == "5"
    assert queue.pop_digit() is None
    assert queue.pop() == LOUD


async def test_clear_does_not_drop_keys(queue: PlayoutQueue) -> None:
    await queue.put(TONE * 3)
    queue.put_digits("12")
    queue.clear()
    assert [queue.pop_digit(), queue.pop_digit()] == ["1", "2"]


async def test_another_codec_drops_what_was_encoded_for_the_one_before(queue: PlayoutQueue) -> None:
    await queue.put(TONE * 2)
    queue.configure(create_codec("PCMA"), 20)
    assert queue.pop() is None
    assert queue.silence == b"\xd5" * 160
    await queue.put(TONE)
    assert queue.pop() == create_codec("PCMA").encode(TONE)


async def test_the_same_codec_again_keeps_what_is_queued() -> None:
    queue = PlayoutQueue(lead_ms=80)
    codec = create_codec("PCMU")
    queue.configure(codec, 20)
    await queue.put(TONE)
    queue.configure(codec, 20)
    assert queue.pop() == LOUD


async def test_packets_are_as_long_as_agreed_on() -> None:
    queue = PlayoutQueue(lead_ms=80)
    queue.configure(create_codec("PCMU"), 30)
    await queue.put(TONE * 3)
    assert [len(queue.pop() or b""), len(queue.pop() or b""), queue.pop()] == [240, 240, None]


async def test_closing_ends_every_wait_and_every_later_call(queue: PlayoutQueue) -> None:
    playing = asyncio.create_task(queue.put(TONE * 100))
    assert await waits(playing)
    queue.close()
    with pytest.raises(CallEnded):
        await playing
    with pytest.raises(CallEnded):
        await queue.put(TONE)


async def test_a_cancelled_writer_leaves_the_queue_to_the_next(queue: PlayoutQueue) -> None:
    playing = asyncio.create_task(queue.put(TONE * 100))
    assert await waits(playing)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    while queue.pop() is not None:
        pass
    await queue.put(TONE)
    assert queue.pop() == LOUD
