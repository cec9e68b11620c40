"""Cutting a model's words into clauses as they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialogue.clauses import ClauseAggregator


def _cut(text: str, size: int) -> list[str]:
    aggregator = ClauseAggregator()
    clauses = [clause for start in range(0, len(text), size) for clause in aggregator.feed(text[start : start + size])]
    return clauses + aggregator.flush()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Yes. We are open.", ["Yes.", "We are open."]),
        (
            "Well, if you come before six, we can look at it.",
            ["Well, if you come before six,", "we can look at it."],
        ),
        ("It costs 1,500 euros, or 3.5 percent.", ["It costs 1,500 euros,", "or 3.5 percent."]),
        ("Ask Dr. Miller. He knows.", ["Ask Dr. Miller.", "He knows."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("no end", ["no end"]),
        ("", []),
        ("  \n ", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_clauses_end_where_they_can_be_spoken(text: str, clauses: list[str], size: int) -> None:
    assert _cut(text, size) == clauses


@given(st.text(alphabet="ab ,.!\n", max_size=60), st.integers(1, 7))
def test_no_word_is_lost(text: str, size: int) -> None:
    assert "".join(" ".join(_cut(text, size)).split()) == "".join(text.split())
