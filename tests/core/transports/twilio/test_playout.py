"""What was sent, what was played, and what the caller will never hear."""

import asyncio

import pytest

from core.errors import CallEnded
from core.transports.twilio.playout import MARK_INTERVAL_MS, Audio, Clear, MarkWanted, Outgoing, Playout

MS = 16


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def playout(clock: Clock) -> Playout:
    playout = Playout(lead_ms=200, mark_overdue_s=1.0, clock=clock)
    playout.begin()
    return playout


async def due(playout: Playout) -> list[Outgoing]:
    """What is to be sent at this moment."""
    sent: list[Outgoing] = []
    while True:
        taking = asyncio.ensure_future(playout.take())
        for _ in range(4):
            await asyncio.sleep(0)
        if not taking.done():
            taking.cancel()
            await asyncio.wait({taking})
            return sent
        sent.append(taking.result())


def audio_ms(sent: list[Outgoing]) -> float:
    return sum(len(each.pcm) for each in sent if isinstance(each, Audio)) / MS


def marks(sent: list[Outgoing]) -> list[str]:
    return [each.name for each in sent if isinstance(each, MarkWanted)]


async def put_all(playout: Playout, length_ms: int) -> asyncio.Future[None]:
    putting = asyncio.ensure_future(playout.put(bytes(length_ms * MS)))
    await asyncio.sleep(0)
    return putting


async def test_no_more_than_the_lead_is_ahead(playout: Playout, clock: Clock) -> None:
    putting = await put_all(playout, 1000)
    assert audio_ms(await due(playout)) == 200
    assert audio_ms(await due(playout)) == 0
    clock.now_s += 0.1
    assert audio_ms(await due(playout)) == 100
    assert not putting.done()
    for _ in range(10):
        clock.now_s += 0.1
        await due(playout)
    await putting


async def test_lead_is_regained_after_a_pause(playout: Playout, clock: Clock) -> None:
    await playout.put(bytes(40 * MS))
    assert audio_ms(await due(playout)) == 40
    clock.now_s += 5
    putting = await put_all(playout, 1000)
    assert audio_ms(await due(playout)) == 200
    playout.clear()
    await putting


async def test_every_short_stretch_is_marked_and_so_is_the_end(playout: Playout) -> None:
    await playout.put(bytes(70 * MS))
    sent = await due(playout)
    since_mark_ms = 0.0
    for each in sent:
        if isinstance(each, Audio):
            since_mark_ms += len(each.pcm) / MS
            assert since_mark_ms <= MARK_INTERVAL_MS
        else:
            since_mark_ms = 0.0
    assert isinstance(sent[-1], MarkWanted)


async def test_audio_counts_as_played_when_its_mark_is_back(playout: Playout) -> None:
    await playout.put(bytes(80 * MS))
    first, last = marks(await due(playout))
    assert (playout.queued_ms, playout.played_ms) == (80, 0)
    assert playout.heard(first)
    assert (playout.queued_ms, playout.played_ms) == (20, 60)
    assert playout.heard(last)
    assert (playout.queued_ms, playout.played_ms) == (0, 80)
    assert not playout.heard(last)


async def test_later_mark_stands_for_those_that_were_lost(playout: Playout) -> None:
    await playout.put(bytes(80 * MS))
    assert playout.heard(marks(await due(playout))[-1])
    assert playout.played_ms == 80


async def test_mark_that_does_not_come_back_is_waited_for_a_bounded_time(playout: Playout, clock: Clock) -> None:
    await playout.put(bytes(60 * MS))
    await due(playout)
    clock.now_s += 1.05
    assert playout.queued_ms == 60
    clock.now_s += 0.02
    assert (playout.queued_ms, playout.played_ms) == (0, 60)
    assert playout.marks_overdue == 1


async def test_cleared_audio_is_not_heard_though_its_marks_come_back(playout: Playout) -> None:
    putting = await put_all(playout, 1000)
    first, *rest = marks(await due(playout))
    playout.heard(first)
    playout.clear()
    await putting
    assert await due(playout) == [Clear()]
    assert not any(playout.heard(name) for name in rest)
    assert (playout.queued_ms, playout.played_ms) == (0, MARK_INTERVAL_MS)


async def test_what_follows_a_clear_is_sent_behind_it_at_once(playout: Playout) -> None:
    putting = await put_all(playout, 1000)
    before = marks(await due(playout))
    playout.clear()
    await putting
    await playout.put(bytes(20 * MS))
    sent = await due(playout)
    assert [type(each) for each in sent] == [Clear, Audio, MarkWanted]
    assert not set(marks(sent)) & set(before)
    assert playout.heard(marks(sent)[0])
    assert playout.played_ms == 20


async def test_clear_interrupts_the_wait_for_the_next_piece(playout: Playout) -> None:
    putting = await put_all(playout, 1000)
    await due(playout)
    taking = asyncio.ensure_future(playout.take())
    await asyncio.sleep(0)
    playout.clear()
    assert await taking == Clear()
    await putting


async def test_nothing_to_clear_is_not_cleared(playout: Playout, clock: Clock) -> None:
    await playout.put(bytes(20 * MS))
    for name in marks(await due(playout)):
        playout.heard(name)
    clock.now_s += 1
    playout.clear()
    assert await due(playout) == []


async def test_what_was_sent_goes_with_the_stream_and_the_rest_waits_for_the_next(playout: Playout) -> None:
    putting = await put_all(playout, 260)
    assert audio_ms(await due(playout)) == 200
    playout.suspend()
    assert await due(playout) == []
    assert playout.queued_ms == 60
    playout.begin()
    assert audio_ms(await due(playout)) == 60
    await putting


async def test_half_a_sample_waits_for_its_other_half(playout: Playout) -> None:
    await playout.put(b"\x01\x02\x03")
    await playout.put(b"\x04")
    sent = await due(playout)
    assert b"".join(each.pcm for each in sent if isinstance(each, Audio)) == b"\x01\x02\x03\x04"


async def test_half_a_sample_is_not_waited_for(playout: Playout) -> None:
    await playout.put(b"\x01\x02\x03")
    for name in marks(await due(playout)):
        playout.heard(name)
    assert playout.queued_ms == 0


async def test_audio_that_may_still_lie_at_twilio_is_cleared_though_its_marks_are_overdue(
    playout: Playout, clock: Clock
) -> None:
    await playout.put(bytes(60 * MS))
    await due(playout)
    clock.now_s += 10
    assert playout.queued_ms == 0
    playout.clear()
    assert await due(playout) == [Clear()]
    playout.clear()
    assert await due(playout) == []


async def test_end_wakes_everyone(playout: Playout) -> None:
    putting = await put_all(playout, 1000)
    await due(playout)
    taking = asyncio.ensure_future(playout.take())
    await asyncio.sleep(0)
    playout.close()
    for each in (putting, taking, playout.put(b"\0\0")):
        with pytest.raises(CallEnded):
            await each
    assert playout.queued_ms == 0
