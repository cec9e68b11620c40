"""A conversation's beginning, put into its server's cache before the first question."""

from collections.abc import Sequence
from contextlib import suppress

from core.providers.base import GenerationParameters, Generator, Message, Tool
from core.providers.llm.attempts import NoWords

ONE_TOKEN = GenerationParameters(max_tokens=1, temperature=0.0)
# Templates of many models take no conversation in which the user says nothing.
FIRST_WORDS = Message("user", "Hello.")


async def warm(generator: Generator, opening: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
    """Asks for one token, which nobody hears; of a model that thinks, that is no word."""
    asked = opening if any(message.role == "user" for message in opening) else (*opening, FIRST_WORDS)
    with suppress(NoWords):
        async for _ in generator.generate(asked, ONE_TOKEN, session_id, tools):
            pass
