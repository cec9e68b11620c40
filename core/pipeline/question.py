"""What the caller asks: with words, or with keys."""

from dataclasses import dataclass, field, replace

from core.dialogue.dialogue import Dialogue
from core.dialogue.reply import Reply
from core.pipeline.effects import Effects


@dataclass(frozen=True, slots=True)
class Question:
    """What the caller asked, in words or with keys; false where they asked nothing.

    Attributes:
        effects: what was done for it so far, and stays done while its answer was not heard.
    """

    words: str = ""
    keys: str = ""
    effects: Effects = field(default_factory=Effects, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.words or self.keys)

    @property
    def heard(self) -> str:
        """As it enters the conversation and the record."""
        return f"[{self.keys}]" if self.keys else self.words

    def then(self, words: str) -> "Question":
        """What is asked once these words have followed. Words go on with words, and take the place of keys."""
        if not words:
            return self
        return replace(self, keys="", words=words if self.keys else f"{self.words} {words}".strip())

    def reply(self, dialogue: Dialogue) -> Reply:
        return dialogue.reply_to_digits(self.keys) if self.keys else dialogue.reply(self.words)
