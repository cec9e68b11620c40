"""The messages of a prompt: system prompt and facts, the conversation so far, and what was said now."""

from collections.abc import Mapping, Sequence

from services.llm.engine import Message

SYSTEM = "system"
ROLES = frozenset({SYSTEM, "user", "assistant"})


def assemble(
    system_prompt: str, messages: Sequence[Message], text: str = "", facts: Mapping[str, str] | None = None
) -> list[Message]:
    """One system message at most comes first, as most chat templates want it; what is blank is left out.

    Facts stand at its end, so that the part that never changes stays the beginning of every prompt.
    """
    told = [Message(message.role, message.content.strip()) for message in messages]
    told = [message for message in told if message.content]
    opening = [system_prompt.strip()]
    while told and told[0].role == SYSTEM:
        opening.append(told.pop(0).content)
    if facts:
        opening.append("Known about this call:\n" + "\n".join(f"- {name}: {value}" for name, value in facts.items()))
    system = "\n\n".join(part for part in opening if part)
    said = [Message("user", text.strip())] if text.strip() else []
    return ([Message(SYSTEM, system)] if system else []) + told + said
