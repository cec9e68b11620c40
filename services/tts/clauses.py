"""Where a text may be cut so that its first words are heard while the rest is still being made.

Sentences are cut apart; within one, punctuation is preferred, then conjunctions, then
prepositions. The first clause is short, for the
sake of the first audio; the later ones are as long as an engine renders in one go. A number, a time, an abbreviation
or an address is never cut, nor is a stump of fewer than three words left unless the sentence itself is that short.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

MAX_CLAUSE_CHARS = 64
FIRST_CLAUSE_WORDS = 10
MIN_CLAUSE_WORDS = 3


class Break(IntEnum):
    """How strongly the text is divided after a word. The larger, the longer the pause."""

    NONE = 0
    WORD = 1
    PHRASE = 2
    CONJUNCTION = 3
    COMMA = 4
    CLAUSE = 5
    SENTENCE = 6


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of the text as it was given, and what divides it from the next one."""

    text: str
    end: Break


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int
    stop: int
    end: Break


def split_clauses(text: str) -> list[Clause]:
    """The clauses of a text, in order. Every word of it is in exactly one."""
    clauses: list[Clause] = []
    for sentence in _sentences(_words(text)):
        for group in _groups(sentence, first=not clauses):
            # Markup and the blanks around a word are the original's: whoever reads a clause back finds it there.
            clauses.append(Clause(text[group[0].start : group[-1].stop], group[-1].end))
    return clauses


# A dash between two words divides them even without blanks around it.
_WORD = re.compile(r"[^\s—]+—*|—+")
_CLOSING = "\"')]}”’»*_`"  # noqa: RUF001  a closing quotation mark
_TITLES = frozenset(
    "dr mr mrs ms prof st rev gen col sgt capt lt jr sr no nos vs mt ft fig approx dept est ext inc tel".split()
)
_INTRODUCTIONS = frozenset({"e.g", "i.e", "viz", "cf"})
_MONTHS = "jan feb mar apr jun jul aug sep sept oct nov dec".split()
_WEEKDAYS = "mon tue tues wed thu thur thurs fri sat sun".split()
_MAY_END = frozenset([*_MONTHS, *_WEEKDAYS, "etc", "ave", "blvd", "rd", "co", "corp", "ltd"])
_DATE_WORD = re.compile(
    r"(?:mon|tues?|wednes|thurs?|fri|satur|sun)day|january|february|march|april|may|june|july|august"
    r"|september|october|november|december|[ecmp][sd]t|[ecmp]t",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"(?:[a-z]\.)+[a-z]", re.IGNORECASE)
_LIST_MARK = re.compile(r"(?:\d{1,3}|[A-Za-z])[.)]")
_BULLET = re.compile(r"[-*+•–]|#{1,6}|\d{1,2}[.)]")  # noqa: RUF001  an en dash
_CONJUNCTIONS = frozenset(
    "and but or nor so yet because although though unless until while whereas when where which who if since".split()
)
_PREPOSITIONS = frozenset("after before from with without for at on in between by during into that as".split())


def _words(text: str) -> list[_Word]:
    found = list(_WORD.finditer(text))
    words = []
    for index, match in enumerate(found):
        if index + 1 == len(found):
            end = Break.SENTENCE
        else:
            gap = text[match.end() : found[index + 1].start()]
            line_start = index == 0 or "\n" in text[found[index - 1].end() : match.start()]
            end = _break_after(match.group(), found[index + 1].group(), gap, line_start=line_start)
        words.append(_Word(match.group(), match.start(), match.end(), end))
    return words


def _break_after(word: str, following: str, gap: str, *, line_start: bool) -> Break:
    if "\n" in gap and (gap.count("\n") > 1 or _BULLET.fullmatch(following) or not following[0].islower()):
        return Break.SENTENCE
    core = word.rstrip(_CLOSING)
    if not core:
        return Break.NONE if line_start else Break.WORD
    if line_start and (_LIST_MARK.fullmatch(word) or _BULLET.fullmatch(word)):
        return Break.NONE
    if core.endswith(("...", "…")):
        return Break.SENTENCE if following[0].isupper() else Break.CLAUSE
    if core[-1] in "!?。！？":  # noqa: RUF001  sentences end so in Chinese and Japanese
        return Break.SENTENCE
    if core[-1] == ".":
        return _break_after_dot(core.rstrip("."), following)
    if core[-1] in ";:" or core in {"-", "–", "--"} or core[-1] == "—":  # noqa: RUF001
        return Break.CLAUSE
    if core[-1] == ",":
        # "May 1, 2024" is said in one breath.
        return Break.NONE if core[-2:-1].isdigit() and re.match(r"\d{4}\b", following) else Break.COMMA
    if core[-1].isdigit() and following[0] in "0123456789(+":
        return Break.NONE
    return _break_before(following.lower().rstrip(","))


def _break_before(following: str) -> Break:
    if following in _CONJUNCTIONS:
        return Break.CONJUNCTION
    return Break.PHRASE if following in _PREPOSITIONS else Break.WORD


def _break_after_dot(word: str, following: str) -> Break:
    name = word.lstrip("\"'([{“‘*_`").lower()  # noqa: RUF001  an opening quotation mark
    if name in _TITLES or name in _INTRODUCTIONS:
        return Break.NONE
    if len(name) == 1 and name.isalpha():
        return Break.NONE if following[0].isupper() else Break.SENTENCE
    if name in _MAY_END or _DOTTED.fullmatch(name):
        begins = following[0].isupper() and not _DATE_WORD.match(following)
        return Break.SENTENCE if begins else Break.WORD
    return Break.SENTENCE


def _sentences(words: Sequence[_Word]) -> Iterator[Sequence[_Word]]:
    start = 0
    for index, word in enumerate(words):
        if word.end is Break.SENTENCE:
            yield words[start : index + 1]
            start = index + 1


def _groups(sentence: Sequence[_Word], *, first: bool) -> Iterator[Sequence[_Word]]:
    while sentence:
        count = _first_cut(sentence) if first else _later_cut(sentence)
        first = False
        yield from _chopped(sentence[:count])
        sentence = sentence[count:]


def _cuts(sentence: Sequence[_Word], weakest: Break) -> list[int]:
    """How many words may be taken off the front, leaving no stump on either side."""
    last = len(sentence) - MIN_CLAUSE_WORDS
    return [n for n in range(MIN_CLAUSE_WORDS, last + 1) if sentence[n - 1].end >= weakest]


def _first_cut(sentence: Sequence[_Word]) -> int:
    cuts = _cuts(sentence, Break.COMMA)
    if cuts and cuts[0] <= FIRST_CLAUSE_WORDS:
        return cuts[0]
    if len(sentence) <= FIRST_CLAUSE_WORDS + MIN_CLAUSE_WORDS:
        return _later_cut(sentence)
    for weakest in (Break.CONJUNCTION, Break.PHRASE):
        # One word more than the least: "We are open" alone would be heard as a statement of its own.
        weak = [n for n in _cuts(sentence, weakest) if MIN_CLAUSE_WORDS < n <= FIRST_CLAUSE_WORDS]
        if weak:
            return weak[0]
    return _later_cut(sentence)


def _later_cut(sentence: Sequence[_Word]) -> int:
    if _chars(sentence) <= MAX_CLAUSE_CHARS:
        return len(sentence)
    for weakest in (Break.COMMA, Break.CONJUNCTION, Break.PHRASE, Break.WORD):
        fitting = [n for n in _cuts(sentence, weakest) if _chars(sentence[:n]) <= MAX_CLAUSE_CHARS]
        if fitting:
            return fitting[-1]
    return _forced_cut(sentence)


def _forced_cut(sentence: Sequence[_Word]) -> int:
    """As many words as fit, whatever divides them: one at least."""
    count = 1
    while count < len(sentence) and _chars(sentence[: count + 1]) <= MAX_CLAUSE_CHARS:
        count += 1
    return count


def _chars(words: Sequence[_Word]) -> int:
    return words[-1].stop - words[0].start


def _chopped(words: Sequence[_Word]) -> Iterator[Sequence[_Word]]:
    """A single word longer than any clause is cut by length, so that no text makes an engine run away."""
    if _chars(words) <= MAX_CLAUSE_CHARS or len(words) > 1:
        yield words
        return
    word = words[0]
    for start in range(0, len(word.text), MAX_CLAUSE_CHARS):
        text = word.text[start : start + MAX_CLAUSE_CHARS]
        at = word.start + start
        last = at + len(text) == word.stop
        yield [_Word(text, at, at + len(text), word.end if last else Break.NONE)]
