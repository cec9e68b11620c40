"""An answer in pieces, asked for again after a passing failure for as long as nothing of it has come."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from core.errors import ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5


class UselessToRepeat(ProviderUnavailable):
    """The server is there, and would do no better at once: it has no capacity, or its model wrote what has no sense."""


async def pieces(
    provider: str, begin: Callable[[], AsyncGenerator[Generated, None]], timeout_s: float, max_retries: int
) -> AsyncGenerator[Generated, None]:
    """The answer that `begin` asks for; closing it early closes what `begin` gave.

    Raises:
        ProviderTimeout: the whole answer, with every attempt at it, was not there within `timeout_s`.
        ProviderError: `begin`'s own; ProviderUnavailable once no attempt is left or a piece has come.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    pause_s = FIRST_PAUSE_S
    retries = max_retries
    while True:
        begun = False
        try:
            async with aclosing(begin()) as answer:
                while (piece := await _next(provider, answer, deadline, timeout_s)) is not None:
                    begun = True
                    yield piece
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
