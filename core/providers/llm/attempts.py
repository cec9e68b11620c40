"""An answer in pieces, asked for again after a passing failure for as long as nothing of it has come."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from core.errors import ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated
from core.providers.llm.thoughts import Aloud

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5


class UselessToRepeat(ProviderUnavailable):
    """The server is there, and would do no better at once: it has no capacity, or its model wrote what has no sense."""


class NoWords(UselessToRepeat):
    """The model has thought, and come to its limit of tokens before it said anything."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider, "the model only thought: have it think less, or raise max_tokens")


async def pieces(
    provider: str, begin: Callable[[], AsyncGenerator[Generated, None]], timeout_s: float, max_retries: int
) -> AsyncGenerator[Generated, None]:
    """The answer that `begin` asks for, without thoughts; closing it early closes what `begin` gave.

    Raises:
        NoWords: it was nothing but thoughts.
        ProviderTimeout: the whole answer, with every attempt at it, was not there within `timeout_s`.
        ProviderError: `begin`'s own; ProviderUnavailable once no attempt is left or a piece has come.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    pause_s = FIRST_PAUSE_S
    retries = max_retries
    while True:
        begun = False
        aloud = Aloud()
        try:
            async with aclosing(begin()) as answer:
                while (piece := await _next(provider, answer, deadline, timeout_s)) is not None:
                    for said in (aloud.feed(piece),) if isinstance(piece, str) else (aloud.rest(), piece):
                        if said:
                            begun = True
                            yield said
            if rest := aloud.rest():
                yield rest
            elif aloud.thought and not begun:
                raise NoWords(provider)
            return
        except UselessToRepeat:
            raise
        except ProviderUnavailable:
            if begun or not retries:
                raise
        retries -= 1
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _next(
    provider: str, answer: AsyncGenerator[Generated, None], deadline: float, timeout_s: float
) -> Generated | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(answer, None)
    except TimeoutError as error:
        raise ProviderTimeout(provider, f"no whole answer within {timeout_s:g} s") from error
