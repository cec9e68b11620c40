"""What a model is asked so that the beginning of a conversation is in its server's cache."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from core.providers.base import Generated, GenerationParameters, Message
from core.providers.llm.attempts import NoWords

ONE_TOKEN = GenerationParameters(max_tokens=1, temperature=0.0)
# Templates of many models take no conversation in which the user says nothing.
FIRST_WORDS = Message("user", "Hello.")


def warming(opening: Sequence[Message]) -> Sequence[Message]:
    """The opening, with something for the model to answer."""
    return opening if any(message.role == "user" for message in opening) else (*opening, FIRST_WORDS)


async def read_through(answer: AsyncGenerator[Generated, None]) -> None:
    """Waits for the end of an answer that nobody hears; of a model that thinks, one token is no word."""
    with suppress(NoWords):
        async for _ in answer:
            pass
