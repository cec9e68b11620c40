"""What was said on a call: by the caller as it was recognised, by the agent as far as the caller heard it."""

from dataclasses import dataclass, field

from core.providers.base import Message


@dataclass(slots=True)
class Exchange:
    """One question of the caller and what they heard in reply; `heard` is empty for the greeting and idle prompts."""

    heard: str
    spoken: str = ""


@dataclass(slots=True)
class Conversation:
    """The exchanges of one call, oldest first."""

    exchanges: list[Exchange] = field(default_factory=list)

    def begin(self, heard: str) -> Exchange:
        """A new exchange, whose `spoken` grows as the caller hears it."""
        exchange = Exchange(heard)
        self.exchanges.append(exchange)
        return exchange

    @property
    def last_spoken(self) -> str:
        """What the caller heard last, for those who ask for it again."""
        return next((exchange.spoken for exchange in reversed(self.exchanges) if exchange.spoken), "")

    def messages(self, limit: int) -> list[Message]:
        """The last messages as a model is shown them, at most `limit`, beginning with the caller's."""
        messages: list[Message] = []
        for exchange in self.exchanges:
            if exchange.heard:
                messages.append(Message("user", exchange.heard))
            if exchange.spoken:
                messages.append(Message("assistant", exchange.spoken))
        messages = messages[-limit:] if limit else []
        while messages and messages[0].role == "assistant":
            messages.pop(0)
        return messages


def words_heard(text: str, share: float) -> str:
    """The words of a spoken text that were over when `share` of its audio had been played."""
    if share >= 1:
        return text
    words = text.split()
    # A word counts by its letters, one more for the pause after it; half a word was not heard.
    lengths = [len(word) + 1 for word in words]
    reached = share * sum(lengths)
    heard: list[str] = []
    for word, length in zip(words, lengths, strict=True):
        reached -= length
        if reached < -0.5:
            break
        heard.append(word)
    return " ".join(heard)
