"""Lists of regular expressions, and the dialled users they fit."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.match import compiled, expressions, fits

# What operators write, none with a comma outside brackets.
PIECES = st.sampled_from(
    [
        r"\+49",
        r"\d{3,5}",
        "(sales|shop)",
        "[,;]",
        r"[^],]",
        r"[\],]",
        r"\,",
        "^",
        "$",
        "x*",
        "(a,b)",
        r"\(",
        r"[(]",
        "é",
    ]
)
EXPRESSIONS = st.lists(PIECES, min_size=1, max_size=5).map("".join)


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("", []),
        ("  \n , ,\n", []),
        ("^sales$", ["^sales$"]),
        ("^sales$, ^shop$", ["^sales$", "^shop$"]),
        ("^sales$\n^shop$", ["^sales$", "^shop$"]),
        ("^sales$,\n^shop$,^x$", ["^sales$", "^shop$", "^x$"]),
        (r"\+49\d{3,5}", [r"\+49\d{3,5}"]),
        (r"[0-9]{3,5}", ["[0-9]{3,5}"]),
        (r"(a,b),c", ["(a,b)", "c"]),
        (r"[,],\,,[],],[^],]", ["[,]", r"\,", "[],]", "[^],]"]),
        ('["^a{1,2}$", "b,c"]', ["^a{1,2}$", "b,c"]),
        ("[1]", ["[1]"]),
        ("(open, never closed", ["(open, never closed"]),
        ("[open, never closed", ["[open, never closed"]),
    ],
)
def test_items_are_parted_by_lines_and_by_commas_outside_brackets(text: str, listed: list[str]) -> None:
    assert expressions(text) == listed


@given(st.lists(EXPRESSIONS, max_size=6), st.sampled_from([",", ", ", "\n", ",\n", "\n\n"]))
def test_what_is_joined_is_parted_again(listed: list[str], separator: str) -> None:
    assert expressions(separator.join(listed)) == listed


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_json_list_says_everything(listed: list[str]) -> None:
    assert expressions(json.dumps(listed)) == listed


# Python has something to say about some sets that it takes.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@given(st.text())
def test_any_text_is_a_list_or_is_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(compiled(text)) == len(expressions(text))


@given(st.lists(EXPRESSIONS, max_size=4), st.text(max_size=12))
def test_a_dialled_user_fits_as_python_matches_in_whatever_case(listed: list[str], dialled: str) -> None:
    expected = any(re.match(each, dialled, re.IGNORECASE) for each in listed)
    assert fits(compiled("\n".join(listed)), dialled) is expected


@pytest.mark.parametrize(
    ("text", "dialled", "fit"),
    [
        ("100", "1001", True),
        ("100$", "1001", False),
        ("01", "1001", False),
        (r"\+4930", "+49301234", True),
        ("^sales$", "Sales", True),
        ("a, b", "bcd", True),
        ("", "anything", False),
        (".*", "", True),
    ],
)
def test_matching_is_from_the_beginning(text: str, dialled: str, fit: bool) -> None:
    assert fits(compiled(text), dialled) is fit


def test_the_first_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(ValueError, match=r"no regular expression: .* of '\*b'"):
        compiled("a, *b, (c")
