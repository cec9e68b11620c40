"""What a server says of a failure, fit for a log: servers may repeat what they were asked."""

from collections.abc import Sequence

from core.providers.base import Message

LONGEST = 200
# Of an error page no more is looked at.
EXAMINED = 4000
# Shorter stretches are in any two texts.
REPEATED = 16
LEFT_OUT = "its words are left out, as they repeat the conversation"


def server_text(text: object, messages: Sequence[Message] = ()) -> str:
    """One short line of it, or, where it repeats anything of the conversation, that it does."""
    line = " ".join(str(text)[:EXAMINED].split())
    if any(_repeats(line, " ".join(message.content.split())) for message in messages):
        return LEFT_OUT
    return line[:LONGEST]


def _repeats(line: str, content: str) -> bool:
    if len(content) <= REPEATED:
        return bool(content) and content in line
    return any(line[at : at + REPEATED] in content for at in range(len(line) - REPEATED + 1))
