"""English text as it is said aloud, where the phonemiser (espeak-ng) would say it wrongly.

Only what was heard to be wrong is touched: "$14.50" came out as "dollar fourteen point five zero", "9:05" as "nine
zero five", telephone numbers as thousands joined by "dash", markup as "asterisk". Percentages, ordinals, "&",
e-mail addresses and plain numbers are left to espeak-ng, which says them well.
"""

import re
import unicodedata
from collections.abc import Callable

_MONTHS = "January February March April May June July August September October November December".split()
_WEEKDAYS = {
    day[:3].lower(): day for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
}
_CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_PLURALS = {"penny": "pence"}
_UNITS = {
    "km": "kilometers",
    "kg": "kilograms",
    "cm": "centimeters",
    "mm": "millimeters",
    "ml": "milliliters",
    "km/h": "kilometers per hour",
    "mph": "miles per hour",
    "lbs": "pounds",
    "lb": "pounds",
    "oz": "ounces",
    "min": "minutes",
    "mins": "minutes",
    "hrs": "hours",
}
_TITLES = {
    "Dr": "Doctor",
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Prof": "Professor",
    "St": "Saint",
    "Rev": "Reverend",
    "Mt": "Mount",
    "Ft": "Fort",
}
# From so many digits on, an unseparated number is a name (an order, a postal code), not a quantity.
_SPELLED_DIGITS = 5


def speakable(text: str, language: str = "en") -> str:
    """The text with markup gone and, in English, numbers as they are said; "" where nothing is left to say."""
    text = unicodedata.normalize("NFC", text)
    for pattern, replacement in (_MARKUP + _ENGLISH) if language.lower().startswith("en") else _MARKUP:
        text = pattern.sub(replacement, text)
    text = _without_symbols(text)
    return " ".join(text.split())


def has_speech(text: str) -> bool:
    """Whether there is anything in it that is said: a letter or a digit."""
    return any(c.isalnum() for c in text)


def _plural(count: str, noun: str) -> str:
    return f"{count} {noun}" if count == "1" else f"{count} {_PLURALS.get(noun, noun + 's')}"


def _price(match: re.Match[str]) -> str:
    major, minor = _CURRENCIES[match["sign"]]
    whole, cents, scale = match["whole"], match["cents"], match["scale"]
    if scale:
        amount = f"{whole}.{cents}" if cents else whole
        return f"{amount} {scale} {_plural('', major).strip()}"
    if cents is None or cents == "00":
        return _plural(whole, major)
    if len(cents) != 2:  # not a number of cents
        return f"{whole}.{cents} {_plural('', major).strip()}"
    small = _plural(str(int(cents)), minor)
    return small if whole == "0" else f"{_plural(whole, major)} and {small}"


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match["hour"]), match["minute"], (match["half"] or "").upper()
    if minute == "00" and not half and (hour == 0 or hour > 12):  # hours of a 24-hour clock
        hour, half = (hour - 12, "PM") if hour > 12 else (12, "AM")
    said = str(hour)
    if minute == "00":
        said += "" if half else " o'clock"
    else:
        said += f" oh {minute[1]}" if minute[0] == "0" else f" {minute}"
    return said + (f" {half[0]}M" if half else "")


def _date(match: re.Match[str]) -> str:
    year, month, day = match["year"], int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):  # not a date
        return match[0]
    return f"{_MONTHS[month - 1]} {_ordinal(day)}, {_year(year)}"


def _ordinal(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _year(year: str) -> str:
    first, second = year[:2], year[2:]
    if first == "20" and second[0] == "0":
        return f"2000 {int(second)}" if second != "00" else "2000"
    return f"{first} hundred" if second == "00" else f"{first} {_oh(second)}"


def _oh(two_digits: str) -> str:
    return f"oh {two_digits[1]}" if two_digits[0] == "0" else two_digits


def _telephone(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    said = ", ".join(_digits(group) for group in groups)
    return f"plus {said}" if match[0].startswith("+") else said


def _digits(digits: str) -> str:
    """One by one, with a breath after every third or fourth, as people dictate them."""
    parts = []
    if len(digits) == 11 and digits[0] == "1":  # the North American prefix, said on its own
        parts, digits = ["1"], digits[1:]
    size = 4 if len(digits) == 8 else 3
    while len(digits) > 5 or len(digits) == 2 * size:
        parts.append(digits[:size])
        digits = digits[size:]
    return ", ".join(" ".join(part) for part in [*parts, digits])


def _range(match: re.Match[str]) -> str:
    return f"{match[1]} to {match[2]}"


def _weekdays(match: re.Match[str]) -> str:
    return f"{_WEEKDAYS[match[1].lower()]} to {_WEEKDAYS[match[2].lower()]}"


def _month(match: re.Match[str]) -> str:
    return next(month for month in _MONTHS if month.startswith(match[1][:3]))


def _address(match: re.Match[str]) -> str:
    host = match["host"]
    # A query is read by a machine, not by an ear.
    path = re.sub(r"[?#].*", "", match["path"] or "").rstrip("/")
    words = path.replace("/", " slash ").replace("_", " ").replace("-", " ")
    return f"{host}{words}"


_HOST_AND_PATH = r"(?P<host>[\w.-]+\w)(?P<path>/(?:[^\s,;!)]*[^\s,;.!?)])?)?"
_I = re.IGNORECASE
_DAY = "|".join(_WEEKDAYS)
_HALF_DAY = r"(?P<half>[ap])\.?m\b"
_Rules = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]
_MARKUP: _Rules = (
    # Markdown: links, code, emphasis, headings, list marks. `[[` would begin raw phonemes in Piper.
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)"), r"\1"),
    (re.compile(r"\[\[|\]\]"), " "),
    (re.compile(r"`+"), ""),
    (re.compile(r"</?[A-Za-z][^<>]*>"), " "),
    (re.compile(r"^\s*(?:#{1,6}|[-*+•>]|\d{1,2}[.)](?=\s+\S))\s+", re.MULTILINE), ""),
    (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), " times "),  # noqa: RUF001  the sign of multiplication
    (re.compile(r"\*+|~~|(?<!\w)_+|_+(?!\w)"), ""),
    (re.compile(r"\s*\|\s*"), ", "),
    (re.compile(r"&(?:amp|#38);"), "&"),
    (re.compile(r"_(?=[\w.]*@)"), " underscore "),
)  # fmt: skip
_ENGLISH: _Rules = (
    # Addresses of the web: the scheme is not said.
    (re.compile(r"\bhttps?://(?:www\.)?" + _HOST_AND_PATH, _I), _address),
    (re.compile(r"\bwww\." + _HOST_AND_PATH, _I), _address),
    # Dates and times.
    (re.compile(r"\b(?P<year>[12]\d{3})-(?P<month>\d{2})-(?P<day>\d{2})\b"), _date),
    (re.compile(r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>[12]\d{3})\b"), _date),
    (re.compile(r"(?<=\d)\s*[-–—]\s*(?=\d{1,2}:\d{2}\b)"), " to "),  # noqa: RUF001  an en dash
    (re.compile(rf"(?<![\d:])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?![\d:])(?:\s*{_HALF_DAY})?", _I), _time),
    (re.compile(rf"(?<![\d:])(1[0-2]|[1-9])\s*{_HALF_DAY}", _I), lambda m: f"{m[1]} {m['half'].upper()}M"),
    (re.compile(r"\b([AP]M)\.(?=\s+\S)"), r"\1"),
    (re.compile(r"\b24/7\b"), "24 7"),
    (re.compile(r"(?<=[AP]M)\s*[-–]\s*(?=\d)"), " to "),  # noqa: RUF001  an en dash
    # Money.
    (re.compile(r"([$€£])(\d[\d,.]*)\s*[-–]\s*[$€£]?(?=\d)"), r"\1\2 to \1"),  # noqa: RUF001  an en dash
    (
        re.compile(
            r"(?P<sign>[$€£])\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<cents>\d+))?"
            r"(?:\s(?P<scale>thousand|million|billion))?(?:\s(?:dollars|euros|pounds)\b)?"
        ),
        _price,
    ),
    # Telephone numbers: an international one, a North American one, a local one.
    (re.compile(r"\+\d[\d\s().-]{5,18}\d"), _telephone),
    (re.compile(r"(?<![\w-])(?:1[\s.-]?)?(?:\(\d{3}\)\s?|\d{3}[\s.-])\d{3}[\s.-]\d{4}(?![\w-])"), _telephone),
    (re.compile(r"(?<![\w-])\d{3}-\d{4}(?![\w-])"), _telephone),
    (re.compile(rf"(?<![\d.,$€£])\d{{{_SPELLED_DIGITS},}}(?![\d,]*\d)(?!\.\d)"), lambda m: _digits(m[0])),
    # Numbers with marks.
    (re.compile(r"(?<![\w-])(\d{1,4})\s?[-–]\s?(\d{1,4})(?![\w-])"), _range),  # noqa: RUF001  an en dash
    (re.compile(rf"\b({_DAY})[a-z]*\.?\s?[-–]\s?({_DAY})[a-z]*", re.IGNORECASE), _weekdays),  # noqa: RUF001
    (re.compile(r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?(?=\s\d)"), _month),
    (re.compile(r"(?<=\w )Ave\b\.?(?=\s*\S)|(?<=\w )Ave\b(?=\.)"), "Avenue"),
    (re.compile(r"(?<!\w)1/2(?![\w/])"), "one half"),
    (re.compile(r"(?<!\w)1/4(?![\w/])"), "one quarter"),
    (re.compile(r"(?<!\w)3/4(?![\w/])"), "three quarters"),
    (re.compile(r"(?:#|\bNo\.\s?)(?=\d)"), "number "),
    (re.compile(r"~(?=\d)"), "about "),
    (re.compile(r"(?<=\d)\s?°\s?([CF])\b"), lambda m: " degrees " + {"C": "Celsius", "F": "Fahrenheit"}[m[1]]),
    (
        re.compile(r"(?<=\d)\s?(" + "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True)) + r")\b(?!\.\w)"),
        lambda m: " " + _UNITS[m[1]],
    ),
    (re.compile(r"(?<=[A-Za-z])/(?=(?:hour|day|night|week|month|year|person)\b)"), " per "),
    (re.compile(r"(?<=[A-Za-z])/(?=[A-Za-z])"), " "),
    # espeak-ng ends the sentence after an abbreviated title.
    (re.compile(r"\b(" + "|".join(_TITLES) + r")\.(?=\s+[A-Z])"), lambda m: _TITLES[m[1]]),
    (re.compile(r"\bFAQs?\b"), lambda m: "F A Q" + ("s" if m[0].endswith("s") else "")),
    # Pauses that espeak-ng does not hear.
    (re.compile(r"\s*(?:\.{2,}|…)\s*(?=\S)"), ", "),
    (re.compile(r"\.{2,}|…"), "."),
    (re.compile(r"\s*—+\s*|\s--\s"), ", "),
)  # fmt: skip


def _without_symbols(text: str) -> str:
    """Emoji, other pictures and invisible marks are not said."""
    return "".join(
        c if unicodedata.category(c) not in _SILENT or c in "°" else " "
        for c in text.replace("_", " ")
        if unicodedata.category(c) != "Cf" and c not in "\ufe0e\ufe0f\u20e3"
    )


_SILENT = frozenset({"So", "Sk", "Cn", "Co", "Cs"})
