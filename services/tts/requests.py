"""What is asked for, checked: a request either has a reason to be refused, or clauses to speak."""

import unicodedata
from dataclasses import dataclass

from services.tts.clauses import Break, split_clauses
from services.tts.engine import Voice
from services.tts.normalise import has_speech, speakable
from services.tts.pcm import SAMPLE_RATES_HZ

SPEAKING_RATE_MIN, SPEAKING_RATE_MAX = 0.5, 2.0


class InvalidRequestError(ValueError):
    """The client's mistake; the same request would be refused again."""


@dataclass(frozen=True, slots=True)
class SpokenClause:
    """A clause as it was written, and as it is said."""

    text: str
    spoken: str
    end: Break


@dataclass(frozen=True, slots=True)
class Speech:
    """What one request has spoken."""

    clauses: tuple[SpokenClause, ...]
    voice: Voice
    sample_rate_hz: int
    speaking_rate: float


def check_sample_rate(sample_rate_hz: int) -> int:
    if sample_rate_hz not in SAMPLE_RATES_HZ:
        known = ", ".join(map(str, SAMPLE_RATES_HZ))
        raise InvalidRequestError(f"sample_rate {sample_rate_hz} is none of {known}")
    return sample_rate_hz


def check_speaking_rate(speaking_rate: float) -> float:
    # Written so that not-a-number is refused too.
    if not SPEAKING_RATE_MIN <= speaking_rate <= SPEAKING_RATE_MAX:
        raise InvalidRequestError(
            f"speaking_rate {speaking_rate:g} is not within {SPEAKING_RATE_MIN} and {SPEAKING_RATE_MAX}"
        )
    # Rates a listener cannot tell apart share their rendered phrases.
    return round(speaking_rate, 2)


def check_text(text: str, chars_max: int) -> str:
    if not text.strip():
        raise InvalidRequestError("text is empty")
    if len(text) > chars_max:
        raise InvalidRequestError(f"text has {len(text)} characters, more than {chars_max}")
    for position, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character not in "\t\n\r":
            raise InvalidRequestError(f"text has the control character U+{ord(character):04X} at position {position}")
    return text


def spoken_clauses(text: str, language: str) -> tuple[SpokenClause, ...]:
    """The clauses in which there is something to say.

    Raises:
        InvalidRequestError: there are none.
    """
    clauses = []
    for clause in split_clauses(text):
        spoken = speakable(clause.text, language)
        if has_speech(spoken):
            clauses.append(SpokenClause(clause.text, _ended(spoken, clause.end), clause.end))
    if not clauses:
        raise InvalidRequestError("nothing in the text can be spoken")
    return tuple(clauses)


def _ended(spoken: str, end: Break) -> str:
    """With the mark that gives the voice its melody: falling at a sentence's end, held up where it goes on."""
    if end is Break.NONE:
        return spoken
    if end is Break.SENTENCE:
        return spoken if spoken.rstrip("\"')]}”’»")[-1:] in ".!?" else spoken.rstrip(" ,;:-–—") + "."  # noqa: RUF001
    return spoken.rstrip(" ,;:-–—") + ","  # noqa: RUF001
