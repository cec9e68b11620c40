"""A list of regular expressions on the dialled user, as `match` gives them."""

import json
import re
from collections.abc import Iterator, Sequence


def expressions(text: str) -> list[str]:
    """The regular expressions of a list: a JSON list of strings, one a line, or separated by commas.

    A comma within brackets of any kind, or after a backslash, belongs to its expression: `\\d{3,5}`.
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return [each for each in given if each]
    return [each for line in text.splitlines() for each in _split(line)]


def compiled(text: str) -> list[re.Pattern[str]]:
    """The same, ready to be matched. Upper and lower case are one: upstream matches the dialled user in lower case.

    Raises:
        ValueError: names the first that is none.
    """
    patterns = []
    for each in expressions(text):
        try:
            patterns.append(re.compile(each, re.IGNORECASE))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"no regular expression: {error} of {each!r}") from error
    return patterns


def fits(patterns: Sequence[re.Pattern[str]], dialled: str) -> bool:
    """Whether one of them matches from the beginning; `$` is for those that mean all of it."""
    return any(pattern.match(dialled) for pattern in patterns)


def _split(line: str) -> Iterator[str]:
    depth = start = index = 0
    while index < len(line):
        character = line[index]
        if character == "\\":
            index += 1
        elif character == "[":
            index = _end_of_class(line, index)
        elif character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
        elif character == "," and depth <= 0:
            yield from _stripped(line[start:index])
            start = index + 1
        index += 1
    yield from _stripped(line[start:])


def _end_of_class(line: str, index: int) -> int:
    """Where the bracket that opens a set of characters is closed: a first one stands for itself."""
    index += 2 if line[index + 1 : index + 2] == "^" else 1
    first = index
    while index < len(line) and (line[index] != "]" or index == first):
        index += 2 if line[index] == "\\" else 1
    return index


def _stripped(text: str) -> Iterator[str]:
    if text.strip():
        yield text.strip()
