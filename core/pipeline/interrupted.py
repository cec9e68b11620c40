"""What an interruption leaves: a question that still stands, or the rest of what was being said."""

from dataclasses import dataclass, field

from core.dialogue.action import Action
from core.dialogue.conversation import Conversation, Exchange
from core.pipeline.question import Question
from core.pipeline.speaking import Utterance


@dataclass(frozen=True, slots=True)
class Rest:
    """What an interruption kept from the caller: words, and what was to follow them.

    Attributes:
        question: to be answered anew in their place, where the words that mattered were still to come.
    """

    text: str
    action: Action
    exchange: Exchange
    question: Question = field(default_factory=Question)


class Interrupted:
    """What is still to be answered or said.

    Attributes:
        question: nothing of its answer was heard.
        rest: goes on, should the interruption have been a noise.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.question = Question()
        self.rest: Rest | None = None

    def note(self, utterance: Utterance) -> None:
        """It was cut short: the caller did not hear its remainder, nor did what was to follow happen."""
        exchange, action, remainder = utterance.exchange, utterance.prepared.action, utterance.remainder
        if exchange.heard and not exchange.spoken:
            # Nothing of the answer was heard: the question still stands, and what follows belongs to it.
            self.question = utterance.question
            if exchange in self._conversation.exchanges:
                self._conversation.exchanges.remove(exchange)
        elif utterance.prepared.owed or utterance.question.effects.keys_waiting:
            self.rest = Rest(remainder, action, exchange, utterance.question)
        elif remainder or action is not Action.LISTEN:
            self.rest = Rest(remainder, action, exchange)
