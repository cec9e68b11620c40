"""Who hears the caller, and that nothing they said is lost when another recogniser takes over."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from core.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from core.providers.asr.fallback import FallbackRecognizer
from core.providers.asr.kept_audio import KEPT_S
from core.providers.base import RecognitionStream, Transcript
from core.providers.breaker import CircuitBreaker
from core.providers.member import Member
from core.providers.settings import AsrSettings
from tests.support.virtual_time import VirtualTime

RATE_HZ = 8000
BUDGET_S = 1.5
TIMEOUT_S = 30.0


def words(count: int, first: int = 1) -> list[bytes]:
    """Stretches of audio, 20 ms each, that `Ear` tells apart."""
    return [bytes([number, 0]) * (RATE_HZ // 50) for number in range(first, first + count)]


class Ear:
    """A stream that hears the numbers in its audio; its final is the list of those since the last one."""

    def __init__(self, recognizer: "Ears") -> None:
        self._recognizer = recognizer
        self._heard: list[int] = []
        self._out: asyncio.Queue[Transcript | ProviderError | None] = asyncio.Queue()
        self.given: list[bytes | int] = []
        self.closed = False
        self.refuses_audio = False

    async def send(self, pcm: bytes) -> None:
        await asyncio.sleep(0)
        if self.refuses_audio or self.closed:
            raise ProviderUnavailable(self._recognizer.name, "broken")
        self.given.append(pcm)
        self._heard += [number for number in dict.fromkeys(pcm) if number and number not in self._heard]
        self.say(Transcript(self._text()))

    async def finalize(self, utterance_id: int) -> None:
        self.given.append(utterance_id)
        if self._recognizer.final_s is not None:
            asyncio.get_running_loop().call_later(self._recognizer.final_s, self._answer, utterance_id, self._text())
        self._heard = []

    async def transcripts(self) -> AsyncIterator[Transcript]:
        while (each := await self._out.get()) is not None:
            if isinstance(each, ProviderError):
                raise each
            yield each

    async def close(self) -> None:
        await asyncio.sleep(self._recognizer.close_s)
        self.closed = True
        self._out.put_nowait(None)

    def say(self, transcript: Transcript | ProviderError | None) -> None:
        self._out.put_nowait(transcript)

    def _answer(self, utterance_id: int, text: str) -> None:
        self.say(Transcript(text, is_final=True, utterance_id=utterance_id))

    def _text(self) -> str:
        return " ".join(map(str, self._heard))


class Ears:
    """Opens such streams. Can be away, slow to open, and slow with its finals, or never send one."""

    def __init__(self, name: str, final_s: float | None = 0.1) -> None:
        self.name = name
        self.ready = True
        self.final_s = final_s
        self.open_s = 0.0
        self.close_s = 0.0
        self.refusal: Exception | None = None
        self.streams: list[Ear] = []
        self.opened_with: tuple[int, tuple[str, ...]] | None = None

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        await asyncio.sleep(self.open_s)
        if self.refusal is not None:
            raise self.refusal
        self.opened_with = sample_rate_hz, tuple(phrases)
        self.streams.append(Ear(self))
        return self.streams[-1]

    async def close(self) -> None:
        raise AssertionError("the members are somebody else's")


def recognizer(*ears: Ears, failures: int = 2) -> FallbackRecognizer:
    clock = asyncio.get_running_loop().time
    settings = AsrSettings(budget_ms=int(BUDGET_S * 1000), timeout=TIMEOUT_S)
    return FallbackRecognizer(
        [Member(each, CircuitBreaker("asr", each.name, failures, 15.0, clock)) for each in ears], settings
    )


class Call:
    """A stream of the whole list's, read as a call reads it."""

    def __init__(self, stream: RecognitionStream) -> None:
        self.stream = stream
        self.heard: list[Transcript] = []
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def begin(cls, *ears: Ears) -> "Call":
        return cls(await recognizer(*ears).open(RATE_HZ, ["Riverside"]))

    async def _read(self) -> None:
        async for transcript in self.stream.transcripts():
            self.heard.append(transcript)

    async def say(self, stretches: Sequence[bytes]) -> None:
        for pcm in stretches:
            await self.stream.send(pcm)
            await asyncio.sleep(0.02)

    @property
    def finals(self) -> list[tuple[int, str]]:
        return [(each.utterance_id, each.text) for each in self.heard if each.is_final]

    async def end(self) -> None:
        await self.stream.close()
        await self.reading


async def test_the_first_hears_while_it_is_well(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    call = await Call.begin(first, second)
    await call.say(words(3))
    await call.stream.finalize(1)
    await call.say(words(2, 7))
    await call.stream.finalize(2)
    await asyncio.sleep(1.0)

    assert call.finals == [(1, "1 2 3"), (2, "7 8")]
    assert [each.text for each in call.heard if not each.is_final] == ["1", "1 2", "1 2 3", "7", "7 8"]
    assert first.opened_with == (RATE_HZ, ("Riverside",))
    assert not second.streams
    await call.end()
    assert first.streams[0].closed


@pytest.mark.parametrize("breaks", ["reading", "sending", "ending"])
async def test_a_stream_that_breaks_in_mid_utterance_is_followed_by_one_that_hears_it_all(
    clock: VirtualTime, breaks: str
) -> None:
    first, second = Ears("a"), Ears("b")
    call = await Call.begin(first, second)
    await call.say(words(2))
    await call.stream.finalize(1)
    await call.say(words(3, 5))
    first.streams[0].refuses_audio = breaks == "sending"
    if breaks != "sending":
        first.streams[0].say(ProviderUnavailable("a", "gone") if breaks == "reading" else None)
    await call.say(words(2, 8))
    await call.stream.finalize(2)
    await asyncio.sleep(1.0)

    assert call.finals == [(1, "1 2"), (2, "5 6 7 8 9")]
    assert "5 6 7 8 9" in [each.text for each in call.heard if not each.is_final], "interim words do not go on"
    assert first.streams[0].closed
    assert second.opened_with == first.opened_with
    await call.end()


async def test_a_final_that_does_not_come_is_another_ones_within_the_turn(clock: VirtualTime) -> None:
    first, second = Ears("a", final_s=None), Ears("b")
    call = await Call.begin(first, second)
    await call.say(words(3))
    finalized_s = clock.now()
    await call.stream.finalize(1)
    while not call.finals:
        await asyncio.sleep(0.01)

    assert call.finals == [(1, "1 2 3")]
    assert clock.now() - finalized_s == pytest.approx(BUDGET_S + 0.1, abs=0.02)
    await call.end()


async def test_what_the_first_still_says_is_not_heard_any_more(clock: VirtualTime) -> None:
    first, second = Ears("a", final_s=BUDGET_S + 0.05), Ears("b", final_s=0.5)
    first.close_s = 0.9
    call = await Call.begin(first, second)
    await call.say(words(3))
    await call.stream.finalize(1)
    await asyncio.sleep(3.0)

    assert call.finals == [(1, "1 2 3")]
    await call.end()


async def test_finals_that_are_due_for_two_utterances_are_both_given(clock: VirtualTime) -> None:
    call = await Call.begin(Ears("a", final_s=None), Ears("b"))
    await call.say(words(2))
    await call.stream.finalize(1)
    await call.say(words(2, 5))
    await call.stream.finalize(2)
    await asyncio.sleep(3.0)

    assert call.finals == [(1, "1 2"), (2, "5 6")]
    await call.end()


async def test_speech_during_the_change_comes_behind_what_was_said_before(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    second.open_s = 0.5
    call = await Call.begin(first, second)
    await call.say(words(3))
    first.streams[0].say(None)
    await call.say(words(50, 4))
    await call.stream.finalize(1)
    await asyncio.sleep(1.0)

    assert call.finals == [(1, " ".join(map(str, range(1, 54))))]
    assert b"".join(each for each in second.streams[0].given if isinstance(each, bytes)) == b"".join(words(53))
    await call.end()


async def test_the_last_that_is_well_is_waited_for(clock: VirtualTime) -> None:
    first, second = Ears("a", final_s=4.0), Ears("b")
    second.ready = False
    call = await Call.begin(first, second)
    await call.say(words(1))
    await call.stream.finalize(1)
    await asyncio.sleep(5.0)

    assert call.finals == [(1, "1")]
    assert not second.streams
    await call.end()


async def test_two_that_are_slow_do_not_take_turns_for_ever(clock: VirtualTime) -> None:
    first, second = Ears("a", final_s=None), Ears("b", final_s=None)
    call = await Call.begin(first, second)
    await call.stream.finalize(1)
    await asyncio.sleep(60.0)

    assert (len(first.streams), len(second.streams)) == (1, 1)
    await call.end()


async def test_one_that_recovers_in_mid_call_may_take_over_again(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    call = await Call.begin(first, second)
    first.streams[0].say(None)
    await call.say(words(1))
    await call.stream.finalize(1)
    await asyncio.sleep(0.5)
    second.streams[0].say(None)
    await call.say(words(1, 2))
    await call.stream.finalize(2)
    await asyncio.sleep(0.5)

    assert call.finals == [(1, "1"), (2, "2")]
    assert (len(first.streams), len(second.streams)) == (2, 1)
    await call.end()


async def test_the_call_is_told_where_all_fail(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    second.refusal = ProviderUnavailable("b", "gone too")
    call = await Call.begin(first, second)
    first.streams[0].say(ProviderUnavailable("a", "gone"))

    with pytest.raises(ProviderUnavailable, match="gone too"):
        await call.reading
    with pytest.raises(ProviderUnavailable, match="closed"):
        await call.stream.send(words(1)[0])
    await call.stream.close()


async def test_an_error_that_is_nobodys_is_not_hidden(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    second.refusal = RuntimeError("a bug")
    call = await Call.begin(first, second)
    first.streams[0].say(None)

    with pytest.raises(RuntimeError, match="a bug"):
        await call.reading
    await call.stream.close()


@pytest.mark.parametrize("why", ["away", "slow", "not ready", "left out"])
async def test_a_call_begins_with_the_first_that_can_be_had(clock: VirtualTime, why: str) -> None:
    first, second = Ears("a"), Ears("b")
    first.refusal = ProviderUnavailable("a", "gone") if why in ("away", "left out") else None
    first.open_s = 60.0 if why == "slow" else 0.0
    first.ready = why != "not ready"
    ears = recognizer(first, second, failures=1)
    if why == "left out":
        await (await ears.open(RATE_HZ)).close()
        first.refusal = None
    began_s = clock.now()

    await (await ears.open(RATE_HZ)).close()

    assert second.streams
    assert not first.streams
    assert clock.now() - began_s <= BUDGET_S + 0.01
    assert (ears.ready, ears.name) == (True, "a")
    await ears.close()


async def test_the_last_one_may_take_as_long_as_its_service(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    first.ready = False
    second.open_s = TIMEOUT_S - 1
    ears = recognizer(first, second)
    await (await ears.open(RATE_HZ)).close()

    first.refusal = ProviderUnavailable("a", "gone")
    second.open_s = TIMEOUT_S + 1
    second.ready = False
    with pytest.raises(ProviderTimeout, match="b"):
        await ears.open(RATE_HZ)


async def test_a_call_begins_with_the_first_again_once_it_is_well(clock: VirtualTime) -> None:
    first, second = Ears("a", final_s=None), Ears("b")
    ears = recognizer(first, second, failures=1)
    call = Call(await ears.open(RATE_HZ))
    await call.stream.finalize(1)
    await asyncio.sleep(2.0)
    await call.end()
    await (await ears.open(RATE_HZ)).close()
    assert len(first.streams) == 1

    first.final_s = 0.1
    await asyncio.sleep(15.0)
    call = Call(await ears.open(RATE_HZ))
    await call.stream.finalize(1)
    await asyncio.sleep(0.5)

    assert len(first.streams) == 2
    assert call.finals == [(1, "")]
    await call.end()


async def test_a_call_that_ends_during_a_change_leaves_nothing_open(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    second.open_s = 0.5
    call = await Call.begin(first, second)
    first.streams[0].say(None)
    await asyncio.sleep(0.1)

    await call.end()

    assert second.streams[0].closed


async def test_one_that_does_not_close_holds_nobody_up(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    first.close_s = 60.0
    call = await Call.begin(first, second)
    first.streams[0].say(None)
    await call.stream.finalize(1)
    await asyncio.sleep(0.2)
    assert call.finals == [(1, "")]

    second.close_s = 60.0
    began_s = clock.now()
    await call.end()
    assert clock.now() - began_s <= 2.0


async def test_much_audio_is_given_again_in_few_pieces(clock: VirtualTime) -> None:
    first, second = Ears("a"), Ears("b")
    call = await Call.begin(first, second)
    await call.say([bytes(320)] * int(KEPT_S * 50 + 100))
    first.streams[0].say(None)
    await asyncio.sleep(0.1)

    given = [each for each in second.streams[0].given if isinstance(each, bytes)]
    assert len(b"".join(given)) == KEPT_S * RATE_HZ * 2
    assert len(given) <= 51
    await call.end()
