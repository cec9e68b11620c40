"""Whether words read like a finished sentence."""

import pytest

from core.pipeline.completeness import seems_complete


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("When are you open?", True),
        ("Yes.", True),
        ("No", True),
        ("I would like to book a table for four.", True),
        ("I would like to", False),
        ("I would like to book, um", False),
        ("Can you tell me if", False),
        ("On Saturday,", False),
        ("Sorry, do you...", False),
        ("Sorry.", False),
        ("Excuse me.", False),
        ("Hello?", False),
        ("My name is J. O. H.", False),
        ("It is 5 5 5", False),
        ("555-01", False),
        ("", False),
        (" ... ", False),
    ],
)
def test_a_sentence_is_complete_where_nothing_seems_to_follow(text: str, complete: bool) -> None:
    assert seems_complete(text) is complete
