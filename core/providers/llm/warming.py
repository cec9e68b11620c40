"""What a model is asked so that the beginning of a conversation is in its server's cache."""

from collections.abc import Sequence

from core.providers.base import GenerationParameters, Message

ONE_TOKEN = GenerationParameters(max_tokens=1, temperature=0.0)
# Templates of many models take no conversation in which the user says nothing.
FIRST_WORDS = Message("user", "Hello.")


def warming(opening: Sequence[Message]) -> Sequence[Message]:
    """The opening, with something for the model to answer."""
    return opening if any(message.role == "user" for message in opening) else (*opening, FIRST_WORDS)
