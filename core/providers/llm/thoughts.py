"""What of a model's text is said aloud: all but its thoughts, which servers without a parser for them leave in it."""

# As DeepSeek, Qwen and most others write them; Gemini's and Mistral's own.
_MARKS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
}
_ENDS = tuple(_MARKS.values())


class Aloud:
    """One answer: `feed` each piece as it comes, `rest` once there is no further one.

    Attributes:
        thought: whether there were any thoughts.
    """

    def __init__(self) -> None:
        self.thought = False
        # What may be the beginning of a mark.
        self._held = ""
        # The mark that ends the thoughts that are going on.
        self._until = ""
        self._trims = False

    def feed(self, text: str) -> str:
        """What can be said now."""
        text, self._held = self._held + text, ""
        said = ""
        while (found := _first(text, self._marks)) is not None:
            at, mark = found
            if mark in _ENDS:
                # Where only their end is marked, the thoughts began in the prompt.
                said = said if self._until else ""
                self._until = ""
                self._trims = True
            else:
                said += self._trimmed(text[:at])
                self._until = _MARKS[mark]
            self.thought = True
            text = text[at + len(mark) :]
        whole = len(text) - _begun(text, self._marks)
        self._held = text[whole:]
        return said if self._until else said + self._trimmed(text[:whole])

    def rest(self) -> str:
        """What was no mark after all."""
        held, self._held = self._held, ""
        return "" if self._until else self._trimmed(held)

    @property
    def _marks(self) -> tuple[str, ...]:
        return (self._until,) if self._until else (*_MARKS, *_ENDS)

    def _trimmed(self, text: str) -> str:
        """Thoughts are followed by empty lines."""
        if self._trims:
            text = text.lstrip()
            self._trims = not text
        return text


def _first(text: str, marks: tuple[str, ...]) -> tuple[int, str] | None:
    return min(((at, mark) for mark in marks if (at := text.find(mark)) >= 0), default=None)


def _begun(text: str, marks: tuple[str, ...]) -> int:
    """Length of the longest end of the text with which a mark begins."""
    longest = max(map(len, marks)) - 1
    return next(
        (
            size
            for size in range(min(longest, len(text)), 0, -1)
            if any(mark.startswith(text[-size:]) for mark in marks)
        ),
        0,
    )
