"""Which voice speaks, and from which word on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from core.errors import ProviderUnavailable
from core.providers.breaker import CircuitBreaker
from core.providers.member import Member
from core.providers.settings import TtsSettings
from core.providers.tts.fallback import CHARACTER_S, FallbackSynthesizer, rest
from tests.support.virtual_time import VirtualTime

BUDGET_S = 1.0
RATE_HZ = 8000
TEXT = "We are open from nine to six on every day but Sunday."
GONE = ProviderUnavailable("a", "gone")


def audio(seconds: float) -> bytes:
    return bytes(2 * round(RATE_HZ * seconds))


class Voice:
    """Speaks by a script: audio, seconds to wait, an error to fail with."""

    def __init__(self, name: str, script: Sequence[bytes | float | Exception]) -> None:
        self.name = name
        self.ready = True
        self.script = script
        self.said: list[str] = []
        self.running = 0

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        assert sample_rate_hz == RATE_HZ
        self.said.append(text)
        self.running += 1
        try:
            for each in self.script:
                if isinstance(each, float):
                    await asyncio.sleep(each)
                elif isinstance(each, Exception):
                    raise each
                else:
                    yield each
        finally:
            self.running -= 1

    async def close(self) -> None:
        raise AssertionError("the members are somebody else's")


def voices(*members: Voice) -> FallbackSynthesizer:
    settings = TtsSettings(budget_ms=int(BUDGET_S * 1000))
    return FallbackSynthesizer(
        [Member(voice, CircuitBreaker("tts", voice.name, 2, 15.0)) for voice in members], settings
    )


async def spoken(synthesizer: FallbackSynthesizer) -> list[bytes]:
    return [pcm async for pcm in synthesizer.synthesize(TEXT, RATE_HZ)]


async def test_the_first_speaks_while_it_is_well(clock: VirtualTime) -> None:
    second = Voice("b", [audio(9.0)])

    assert await spoken(voices(Voice("a", [audio(1.0), audio(2.0)]), second)) == [audio(1.0), audio(2.0)]
    assert not second.said


@pytest.mark.parametrize("script", [[GONE], [60.0, audio(1.0)]])
async def test_one_without_a_sound_is_followed_by_one_that_says_it_all(
    clock: VirtualTime, script: list[float | bytes | Exception]
) -> None:
    first, second = Voice("a", script), Voice("b", [audio(3.0)])
    began_s = clock.now()

    assert await spoken(voices(first, second)) == [audio(3.0)]
    assert second.said == [TEXT]
    assert clock.now() - began_s <= BUDGET_S + 0.001
    assert not first.running


async def test_one_that_breaks_off_is_followed_from_near_the_word_it_had_come_to(clock: VirtualTime) -> None:
    reached_s = len("We are open from nine to") * CHARACTER_S
    second = Voice("b", [audio(2.0)])

    assert await spoken(voices(Voice("a", [audio(reached_s), GONE]), second)) == [audio(reached_s), audio(2.0)]
    [said] = second.said
    assert TEXT.endswith(said)
    assert said.startswith("nine to six"), "the break may be in any word that was just spoken"


async def test_a_third_goes_on_where_the_second_had_come_to(clock: VirtualTime) -> None:
    third = Voice("c", [audio(1.0)])
    first = Voice("a", [audio(20 * CHARACTER_S), GONE])
    second = Voice("b", [audio(20 * CHARACTER_S), GONE])

    await spoken(voices(first, second, third))

    assert TEXT.endswith(third.said[0])
    assert len(third.said[0]) < len(second.said[0]) < len(TEXT)


async def test_audio_that_is_still_to_be_heard_is_time_won(clock: VirtualTime) -> None:
    second = Voice("b", [audio(9.0)])
    slow = Voice("a", [audio(3.0), 3.0 + BUDGET_S - 0.1, audio(0.5)])

    assert await spoken(voices(slow, second)) == [audio(3.0), audio(0.5)]
    assert not second.said


async def test_one_that_lets_the_caller_wait_in_mid_clause_gives_way(clock: VirtualTime) -> None:
    second = Voice("b", [audio(1.0)])
    began_s = clock.now()

    await spoken(voices(Voice("a", [audio(2.0), 60.0, audio(0.5)]), second))

    assert second.said
    assert clock.now() - began_s == pytest.approx(2.0 + BUDGET_S)


async def test_the_last_error_is_raised_where_all_fail(clock: VirtualTime) -> None:
    with pytest.raises(ProviderUnavailable, match="b: gone"):
        await spoken(voices(Voice("a", [GONE]), Voice("b", [audio(0.1), ProviderUnavailable("b", "gone")])))


async def test_what_no_voice_could_say_is_asked_of_none_other(clock: VirtualTime) -> None:
    second = Voice("b", [audio(1.0)])

    with pytest.raises(ValueError, match="no such sound"):
        await spoken(voices(Voice("a", [ValueError("no such sound")]), second))
    assert not second.said


async def test_closing_early_stops_the_work(clock: VirtualTime) -> None:
    first = Voice("a", [audio(0.1)] * 50)
    synthesizer = voices(first, Voice("b", []))
    async with aclosing(synthesizer.synthesize(TEXT, RATE_HZ)) as pieces:
        await anext(pieces)

    assert not first.running
    assert (synthesizer.name, synthesizer.ready) == ("a", True)
    await synthesizer.close()


@pytest.mark.parametrize(
    ("text", "spoken_characters", "left"),
    [
        ("", 5, ""),
        ("Hello there.", 0, "Hello there."),
        ("Hello there.", 4, "Hello there."),
        ("Hello there, my friend.", 9, "there, my friend."),
        ("Hello there.", 1000, "there."),
        ("Hello.", 1000, "Hello."),
        ("ohnewortgrenze", 5, "ohnewortgrenze"),
    ],
)
def test_the_rest_begins_with_a_whole_word_and_is_never_nothing(text: str, spoken_characters: float, left: str) -> None:
    assert rest(text, spoken_characters) == left
