"""What the business knows: questions with their answers, and passages, from one Markdown file.

The file is read by people first:

    ## Opening hours
    Q: When are you open?
    Q: What are your opening hours?
    A: We are open from nine to five, Monday to Friday.

    Free text under a heading is a passage: the model may be shown it, it is never read out as it stands.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

from core.dialogue.words import ASIDES, FUNCTION_WORDS, QUESTION_WORDS, tokens
from core.errors import ConnectorError

FUNCTION_WEIGHT = 0.05
QUESTION_WEIGHT = 0.35
# A word that no entry knows outweighs the rarest that one does: the question is about something else.
UNKNOWN_WEIGHT = 1.25
# How much less alike a question is that lacks the other's rarest word.
POINT_MISSED = 0.7
# Two words this alike are the same word misheard ("delivry", "parkin").
FUZZY_RATIO = 0.82
FUZZY_MIN_LENGTH = 3


class KnowledgeError(ConnectorError):
    """The knowledge file cannot be read: says which line, and what was expected there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer with all the ways to ask for it; a passage has no questions."""

    heading: str
    answer: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """An entry, and how alike the caller's question is to the nearest of its own: 0 to 1."""

    entry: Entry
    score: float


@dataclass(slots=True)
class Knowledge:
    """Everything known, ready to be searched. Immutable once built."""

    entries: Sequence[Entry]
    _document_frequency: Counter[str] = field(init=False)
    _prepared: list[tuple[Entry, list[frozenset[str]]]] = field(init=False)

    def __post_init__(self) -> None:
        self._prepared = [
            (
                entry,
                [frozenset(tokens(text)) for text in entry.questions or (f"{entry.heading} {entry.answer}",)],
            )
            for entry in self.entries
        ]
        self._document_frequency = Counter(word for _, variants in self._prepared for word in set().union(*variants))

    def search(self, question: str, limit: int = 3) -> list[Match]:
        """The entries nearest to a question, best first."""
        asked = frozenset(tokens(question))
        matches = [
            Match(entry, max(self._likeness(asked, variant, bool(entry.questions)) for variant in variants))
            for entry, variants in self._prepared
        ]
        return sorted((m for m in matches if m.score > 0), key=lambda m: m.score, reverse=True)[:limit]

    def answer(self, question: str, threshold: float) -> Match | None:
        """The one entry whose answer fits the question word for word, or None where that is in doubt."""
        topics = frozenset(tokens(question)) - FUNCTION_WORDS - QUESTION_WORDS - ASIDES
        return next(
            (
                match
                for match in self.search(question, len(self.entries))
                if match.entry.questions and match.score >= threshold and _covers(match.entry, topics)
            ),
            None,
        )

    def _weight(self, word: str) -> float:
        if word in FUNCTION_WORDS or word in ASIDES:
            return FUNCTION_WEIGHT
        if word in QUESTION_WORDS:
            return QUESTION_WEIGHT
        frequency = self._document_frequency[word]
        if not frequency:
            return UNKNOWN_WEIGHT
        return math.log(1 + len(self._prepared) / frequency) / math.log(1 + len(self._prepared))

    def _likeness(self, asked: frozenset[str], known: frozenset[str], is_question: bool) -> float:
        """The weighted F-measure of the words shared; for a passage, the share of the question it covers."""
        shared = {word: word for word in asked & known}
        for word in asked - known:
            twin = _misheard_twin(word, known)
            if twin is not None:
                shared[word] = twin
        if not any(word not in FUNCTION_WORDS for word in shared):
            return 0.0
        asked_weight = sum(map(self._weight, asked)) - sum(
            self._weight(word) - self._weight(twin) for word, twin in shared.items()
        )
        shared_weight = sum(map(self._weight, shared.values()))
        precision = shared_weight / asked_weight
        if not is_question:
            return precision
        recall = shared_weight / sum(map(self._weight, known))
        likeness = 2 * precision * recall / (precision + recall)
        return likeness if self._shares_the_point(known, shared.values()) else likeness * POINT_MISSED

    def _shares_the_point(self, known: frozenset[str], shared: Collection[str]) -> bool:
        """Whether the rarest word of a known question was said: "rent", where the question is of renting a bike."""
        topics = known - FUNCTION_WORDS - QUESTION_WORDS
        heaviest = max(map(self._weight, topics), default=0.0)
        return not topics or any(self._weight(word) >= heaviest for word in topics.intersection(shared))


def _covers(entry: Entry, topics: frozenset[str]) -> bool:
    """Whether all that the question is about stands in the entry: a price for renting is none for renting helmets."""
    known = _entry_words(entry)
    return all(word in known or _misheard_twin(word, known) for word in topics)


@lru_cache(maxsize=1024)
def _entry_words(entry: Entry) -> frozenset[str]:
    return frozenset(tokens(" ".join((entry.heading, *entry.questions, entry.answer))))


@lru_cache(maxsize=4096)
def _misheard_twin(word: str, known: frozenset[str]) -> str | None:
    if len(word) < FUZZY_MIN_LENGTH or word in FUNCTION_WORDS:
        return None
    near = [
        (SequenceMatcher(None, word, other).ratio(), other)
        for other in known
        if abs(len(other) - len(word)) <= 2 and len(other) >= FUZZY_MIN_LENGTH
    ]
    best = max(near, default=(0.0, ""))
    return best[1] if best[0] >= FUZZY_RATIO else None


def load(path: Path) -> Knowledge:
    """Reads a knowledge file.

    Raises:
        KnowledgeError: it is missing, is not UTF-8, or a line is out of place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(f"{path}: {error}") from error
    return Knowledge(parse(text, str(path)))


def parse(text: str, name: str = "knowledge") -> list[Entry]:
    """The entries of a knowledge text, in order; `name` stands before the line number in errors."""
    entries: list[Entry] = []
    heading = ""
    for number, block in _blocks(text):
        if block[0].startswith("#"):
            heading = block[0].lstrip("#").strip()
            if len(block) > 1:
                entries.append(_entry(heading, block[1:], f"{name}:{number + 1}"))
        else:
            entries.append(_entry(heading, block, f"{name}:{number}"))
    return entries


def _blocks(text: str) -> Iterable[tuple[int, list[str]]]:
    """Runs of lines that belong together, each with its line number: parted by blank lines and before headings."""
    block: list[str] = []
    start = 1
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        answered = bool(block) and block[-1][:2] == "A:" and line[:2] == "Q:"
        if block and (not line or line.startswith("#") or answered):
            yield start, block
            block = []
        if line:
            if not block:
                start = number
            block.append(line)
    if block:
        yield start, block


def _entry(heading: str, block: list[str], where: str) -> Entry:
    if not re.match(r"[QA]:", block[0]):
        return Entry(heading, " ".join(block))
    questions = [line[2:].strip() for line in block if line.startswith("Q:")]
    rest = block[len(questions) :]
    if not questions or not all(line.startswith("Q:") for line in block[: len(questions)]):
        raise KnowledgeError(f"{where}: an answer must follow its questions")
    if not rest or not rest[0].startswith("A:"):
        raise KnowledgeError(f"{where}: the question {questions[-1]!r} has no answer (a line that begins with 'A:')")
    answer = " ".join([rest[0][2:].strip(), *rest[1:]]).strip()
    if not answer or not all(questions):
        raise KnowledgeError(f"{where}: a question or an answer is empty")
    return Entry(heading, answer, tuple(questions))
