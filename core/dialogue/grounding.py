"""Facts that nobody gave the model: numbers, days, prices and names that stand in no text it was shown."""

import re
from collections.abc import Iterable

from core.dialogue.words import NUMBER_WORDS

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][A-Za-z'-]+")
_FREE = re.compile(r"\b(?:for free|free of charge|no charge)\b")
_WORD = re.compile(r"[A-Za-z']+")
# "one" is mostly a pronoun; the others are written like names, and are none.
_NO_FACT = frozenset(
    "one i i'm i'll i've i'd ok okay yes no ai tv sir madam ma'am hello please sorry thank thanks however indeed "
    "also".split()
)
_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august "
    "september october november december".split()
)


def specifics(text: str) -> set[str]:
    """What a text states that can be wrong: numbers as digits, names and days in lower case."""
    found = {re.sub(r"[.,:]0+$", "", match) for match in _NUMBER.findall(text)}
    found.update(_FREE.findall(text.lower()))
    for word in _WORD.findall(text.lower()):
        if word in NUMBER_WORDS and word not in _NO_FACT:
            found.add(NUMBER_WORDS[word])
        elif word.rstrip("s") in _CALENDAR:
            found.add(word.rstrip("s"))
    names = {name.lower() for name in _NAME.findall(text)}
    found.update(name for name in names if name not in _NO_FACT and name.rstrip("s") not in _CALENDAR)
    return found


def invented(clause: str, given: Iterable[str]) -> set[str]:
    """The specifics of a clause that stand in none of the given texts."""
    known: set[str] = set()
    for text in given:
        known |= specifics(text)
        known |= set(_WORD.findall(text.lower()))
    return {fact for fact in specifics(clause) if fact not in known}
