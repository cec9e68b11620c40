"""Phrases are rendered once, and kept within bounds."""

import asyncio

import pytest

from services.tts.phrase_cache import Phrase, PhraseCache


def phrase(text: str = "hello", sample_rate_hz: int = 8000, speaking_rate: float = 1.0, voice: str = "anna") -> Phrase:
    return Phrase(text, voice, sample_rate_hz, speaking_rate)


class Rendering:
    """Counts how often it is asked for; waits where told to."""

    def __init__(self, pcm: bytes = b"pcm") -> None:
        self.pcm = pcm
        self.times = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    async def __call__(self) -> bytes:
        self.times += 1
        self.begun.set()
        await self.may_end.wait()
        if self.error:
            raise self.error
        return self.pcm


async def test_a_phrase_is_rendered_once() -> None:
    cache, rendering = PhraseCache(100), Rendering()
    assert await cache.get(phrase(), rendering) == (b"pcm", False)
    assert await cache.get(phrase(), rendering) == (b"pcm", True)
    assert (rendering.times, cache.hits, cache.misses, cache.size_bytes) == (1, 1, 1, 3)


@pytest.mark.parametrize(
    "other", [phrase("bye"), phrase(sample_rate_hz=16000), phrase(speaking_rate=1.2), phrase(voice="bert")]
)
async def test_another_text_rate_speed_or_voice_is_another_phrase(other: Phrase) -> None:
    cache = PhraseCache(100)
    await cache.get(phrase(), Rendering())
    assert await cache.get(other, Rendering(b"other")) == (b"other", False)


async def test_the_least_recently_used_goes_first() -> None:
    cache = PhraseCache(6)
    for text in ("a", "b"):
        await cache.get(phrase(text), Rendering())
    await cache.get(phrase("a"), Rendering())
    await cache.get(phrase("c"), Rendering())
    assert cache.size_bytes == 6
    assert (await cache.get(phrase("a"), Rendering()))[1]
    assert not (await cache.get(phrase("b"), Rendering()))[1]


@pytest.mark.parametrize("size_max_bytes", [0, 2])
async def test_what_does_not_fit_is_not_kept(size_max_bytes: int) -> None:
    cache, rendering = PhraseCache(size_max_bytes), Rendering()
    for _ in range(2):
        await cache.get(phrase(), rendering)
    assert (rendering.times, cache.size_bytes) == (2, 0)


async def test_two_who_ask_at_once_share_one_rendering() -> None:
    cache, rendering = PhraseCache(100), Rendering()
    rendering.may_end.clear()
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(cache.get(phrase(), rendering)) for _ in range(2)]
        await rendering.begun.wait()
        rendering.may_end.set()
    assert [task.result() for task in both] == [(b"pcm", False), (b"pcm", True)]
    assert (rendering.times, cache.hits, cache.misses) == (1, 1, 1)


async def test_the_second_renders_it_when_the_first_gives_up() -> None:
    cache, first, second = PhraseCache(100), Rendering(), Rendering(b"second")
    first.may_end.clear()
    gives_up = asyncio.create_task(cache.get(phrase(), first))
    await first.begun.wait()
    stays = asyncio.create_task(cache.get(phrase(), second))
    await asyncio.sleep(0)
    gives_up.cancel()
    assert await stays == (b"second", False)
    assert gives_up.cancelled()


async def test_giving_up_on_anothers_rendering_leaves_it_alone() -> None:
    cache, rendering = PhraseCache(100), Rendering()
    rendering.may_end.clear()
    renders = asyncio.create_task(cache.get(phrase(), rendering))
    await rendering.begun.wait()
    waits = asyncio.create_task(cache.get(phrase(), rendering))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.sleep(0)
    rendering.may_end.set()
    assert await renders == (b"pcm", False)


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    cache, rendering = PhraseCache(100), Rendering()
    rendering.may_end.clear()
    rendering.error = RuntimeError("engine")
    both = [asyncio.create_task(cache.get(phrase(), rendering)) for _ in range(2)]
    await rendering.begun.wait()
    rendering.may_end.set()
    assert [str(each) for each in await asyncio.gather(*both, return_exceptions=True)] == ["engine", "engine"]
    rendering.error = None
    assert await cache.get(phrase(), rendering) == (b"pcm", False)
