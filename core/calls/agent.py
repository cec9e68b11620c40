"""Who answers a call: one configuration of the conversation, and how the agent of a call is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.dialogue.dialogue import Dialogue
from core.leg import CallInfo
from core.pipeline.call_pipeline import Conversations
from core.providers.pool import Lease


@dataclass(frozen=True, slots=True)
class Agent:
    """What a call needs from its first word to its last.

    Attributes:
        name: as the configuration has it, "default" for whoever answers all other calls.
        phrases: words that the business uses, for recognisers that can be biased.
        lease: keeps the providers of `conversations` open. A call holds a share of its own.
    """

    name: str
    conversations: Conversations
    make_dialogue: Callable[[], Dialogue]
    phrases: Sequence[str]
    lease: Lease


class Agents(Protocol):
    """The agents of the configuration in force."""

    def choose(self, info: CallInfo) -> Agent:
        """Who answers this call. Its lease is held at least until the caller of this gives up control."""
