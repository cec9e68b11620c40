"""Cuts a model's words, as they come, into clauses that can be spoken on their own."""

import re

# A clause may end here: punctuation with its closing quote or bracket, then space.
_END = re.compile(r"([.!?;:]+|,|\u2014|\n+)([\"')\]]*)(?=\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|e\.g|i\.e|a\.m|p\.m|[A-Z]))\.$")
MIN_WORDS_AT_COMMA = 4


class ClauseAggregator:
    """Collects text and gives back clauses; a comma ends one only when enough words stand before it."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """The clauses that are complete after this piece, in order."""
        self._text += text
        clauses: list[str] = []
        start = 0
        for match in _END.finditer(self._text):
            clause = self._text[start : match.end()]
            if match[1] in (",", "\u2014", ":") and len(clause.split()) < MIN_WORDS_AT_COMMA:
                continue
            if match[1] == "." and _ABBREVIATION.search(clause):
                continue
            clauses.append(clause.strip())
            start = match.end()
        self._text = self._text[start:]
        return [clause for clause in clauses if clause]

    def flush(self) -> list[str]:
        """What is left at the end of the text."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []


def ends_sentence(clause: str) -> bool:
    """Whether a sentence ends with this clause."""
    return clause.rstrip("\"')] ").endswith((".", "!", "?"))
