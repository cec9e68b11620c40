"""An answer that is asked for again while nothing of it has come."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated, ToolCall
from core.providers.llm.attempts import NoWords, UselessToRepeat, pieces

AWAY = ProviderUnavailable("test", "away")
Attempt = Sequence[str | ToolCall | ProviderError | asyncio.Event]


def begin(*attempts: Attempt) -> tuple[Callable[[], AsyncGenerator[Generated, None]], list[str]]:
    """One attempt after another, each what comes of it; and what has become of each."""
    left = list(attempts)
    ends: list[str] = []

    async def attempt() -> AsyncGenerator[Generated, None]:
        try:
            for each in left.pop(0):
                if isinstance(each, ProviderError):
                    raise each
                if isinstance(each, asyncio.Event):
                    await each.wait()
                else:
                    yield each
            ends.append("whole")
        except GeneratorExit:
            ends.append("closed")
            raise
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    return attempt, ends


async def whole(attempt: Callable[[], AsyncGenerator[Generated, None]], max_retries: int = 3) -> list[Generated]:
    return [piece async for piece in pieces("test", attempt, 5.0, max_retries)]


async def test_a_passing_failure_is_followed_by_another_attempt() -> None:
    attempt, _ = begin([AWAY], [AWAY], ["a", "b"])
    assert await whole(attempt) == ["a", "b"]


async def test_the_last_failure_is_told() -> None:
    attempt, _ = begin([AWAY], [AWAY], ["a"])
    with pytest.raises(ProviderUnavailable):
        await whole(attempt, max_retries=1)


@pytest.mark.parametrize(
    "error", [ProviderRejected("test", ""), ProviderTimeout("test", ""), UselessToRepeat("test", "")]
)
async def test_what_would_fail_again_is_not_repeated(error: ProviderError) -> None:
    attempt, _ = begin([error], ["a"])
    with pytest.raises(type(error)):
        await whole(attempt)


async def test_what_has_begun_is_not_begun_again() -> None:
    attempt, _ = begin(["a", AWAY], ["a", "b"])
    answer = pieces("test", attempt, 5.0, 3)
    assert await anext(answer) == "a"
    with pytest.raises(ProviderUnavailable):
        await anext(answer)


async def test_closing_early_closes_the_attempt() -> None:
    attempt, ends = begin(["a", "b"])
    answer = pieces("test", attempt, 5.0, 0)
    await anext(answer)
    await answer.aclose()
    assert ends == ["closed"]


@pytest.mark.parametrize("first", [[], ["a"]])
async def test_an_answer_that_takes_too_long_is_given_up(first: list[str]) -> None:
    attempt, ends = begin([*first, asyncio.Event()])
    answer = pieces("test", attempt, 0.02, 3)
    for piece in first:
        assert await anext(answer) == piece
    with pytest.raises(ProviderTimeout, match=r"within 0\.02 s"):
        await anext(answer)
    assert ends == ["cancelled"]


async def test_all_attempts_together_have_the_time_of_one() -> None:
    attempt, ends = begin([AWAY], [asyncio.Event()])
    with pytest.raises(ProviderTimeout):
        await anext(pieces("test", attempt, 0.1, 3))
    assert ends == ["cancelled"]


async def test_thoughts_in_the_answer_are_no_pieces_of_it() -> None:
    call = ToolCall("1", "hang_up")
    attempt, _ = begin(["<thi", "nk>Hm", "</think>", "\n", "Yes", " <", call])
    assert await whole(attempt) == ["Yes", " ", "<", call]


async def test_a_model_that_only_thought_leaves_the_answer_to_another() -> None:
    attempt, _ = begin(["<think>", "Hm"], ["a"])
    with pytest.raises(NoWords, match="only thought"):
        await whole(attempt)


async def test_an_answer_that_broke_off_among_thoughts_is_asked_for_again() -> None:
    attempt, _ = begin(["<think>", AWAY], ["a"])
    assert await whole(attempt) == ["a"]
