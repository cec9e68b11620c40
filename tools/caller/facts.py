"""Transcripts compared by what they say: numbers, times and prices read the same however they are written."""

import re
from dataclasses import dataclass, field

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * tens for tens, word in enumerate(_TENS, 2)}

_NUMBER = "|".join(sorted((*_VALUES, "hundred", "thousand"), key=len, reverse=True))
# In a pattern, the letter of an escape such as \b is no part of the word after it.
_WORD_BEGINS = r"(?:(?<![a-z])|(?<=\\[a-z]))"
_SPOKEN = re.compile(rf"\\.|{_WORD_BEGINS}(?:{_NUMBER})(?:(?:[ -]| and )(?:{_NUMBER})\b)*(?![a-z])")
_ORDINAL = re.compile(rf"{_WORD_BEGINS}(?:(?P<tens>{'|'.join(_TENS)})[ -])?(?P<last>{'|'.join(_ORDINALS)})(?![a-z])")


@dataclass(frozen=True)
class Fact:
    """A regular expression over whole words that a right answer contains; its number words may be digits.

    Raises:
        re.error: the pattern does not compile.
    """

    pattern: str
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = _spoken_to_digits(self.pattern.lower())
        object.__setattr__(self, "_compiled", re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"))

    def occurs_in(self, transcript: str) -> bool:
        text = normalise(transcript)
        # Digits read out one by one may be written apart or together: "5 5 5 0 1 4 2", "555 0142".
        joined = re.sub(r"(?<=\d) (?=\d)", "", text)
        return bool(self._compiled.search(text) or self._compiled.search(joined))


def missing_facts(transcript: str, expected: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the expected patterns that the transcript does not contain."""
    return tuple(pattern for pattern in expected if not Fact(pattern).occurs_in(transcript))


def normalise(text: str) -> str:
    """Lower case, no punctuation, numbers in digits: "Nine a.m. to 5:30, $12.50" is "9 am to 5 30 12 50 dollars"."""
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", text)
    text = re.sub(r"\$ ?(\d[\d,]*(?:\.\d+)?)", r"\1 dollars", text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = text.replace("%", " percent ").replace("&", " and ")
    text = re.sub(r"\bo'? ?clock\b", " ", text)
    text = re.sub(r"[^\w\s'-]", " ", text).replace("'", "")
    text = re.sub(r"(?<=\d)(?=[ap]m\b)", " ", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text)
    text = _spoken_to_digits(" ".join(text.split()))
    text = re.sub(r"(?<=\d)[ -](?:oh|o)\b|\b(?:oh|o)(?=[ -]\d)", lambda found: found[0][:-2] + " 0", text)
    return " ".join(text.replace("-", " ").replace("_", " ").split())


def _spoken_to_digits(text: str) -> str:
    return _SPOKEN.sub(_digits, _ORDINAL.sub(_ordinal_digits, text))


def _ordinal_digits(found: re.Match[str]) -> str:
    tens = _VALUES[found["tens"]] if found["tens"] else 0
    return str(tens + _ORDINALS[found["last"]])


def _digits(found: re.Match[str]) -> str:
    if found[0].startswith("\\"):
        return found[0]
    numbers: list[int] = []
    open_scale = False
    for word in re.split(r"[ -]", found[0]):
        if word == "and":
            continue
        if word in ("hundred", "thousand"):
            scale = 100 if word == "hundred" else 1000
            numbers[-1:] = [(numbers[-1] if numbers else 1) * scale]
            open_scale = True
            continue
        value = _VALUES[word]
        follows_tens = bool(numbers) and 0 < value < 10 and numbers[-1] % 100 >= 20 and numbers[-1] % 10 == 0
        if numbers and ((open_scale and value < 100 and numbers[-1] % 100 == 0) or follows_tens):
            numbers[-1] += value
        else:
            numbers.append(value)
        open_scale = False
    return " ".join(map(str, numbers))
