"""How much of one reply is read over HTTP, so that a server that never ends its line or event fills no memory."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

# Thousands of tokens, each with all that servers write around it.
ANSWER_MAX_BYTES = 16 * 2**20


class AnswerTooLong(ValueError):
    """More has come than any answer holds."""


async def limit_answer(response: Any) -> None:
    """Hook of HTTPX for each response, of either of its generations; both read every body by `aiter_bytes`."""
    unlimited = response.aiter_bytes

    async def limited(chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        left = ANSWER_MAX_BYTES
        async with aclosing(unlimited(chunk_size)) as parts:
            async for part in parts:
                left -= len(part)
                if left < 0:
                    raise AnswerTooLong("the answer is longer than any")
                yield part

    response.aiter_bytes = limited
