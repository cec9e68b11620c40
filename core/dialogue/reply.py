"""What a turn of the caller's is answered with."""

from dataclasses import dataclass, field
from typing import Literal

from core.dialogue.action import Action
from core.dialogue.tools import Toolbox
from core.providers.base import Message

Source = Literal["knowledge", "model", "dialogue"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say, or what to ask the model; then what to do.

    Attributes:
        text: to be said word for word; None where the model is asked `messages`.
        given: the texts that what the model says is checked against: ours, never the caller's.
        tools: what the model may ask for; None where it may ask for nothing.
    """

    source: Source
    text: str | None = None
    messages: tuple[Message, ...] = ()
    given: tuple[str, ...] = field(default=(), repr=False)
    action: Action = Action.LISTEN
    tools: Toolbox | None = field(default=None, repr=False)
