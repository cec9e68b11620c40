"""No number survives masking, and what is left still tells calls apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.observability.numbers import masked, without_numbers


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+15551234567", "+15*******67"),
        ("+6834001", "+68***01"),
        ("112", "**2"),
        ("7", "*"),
        ("", ""),
        ("sip:+15551234567@trunk.example;transport=tls", "sip:+15*******67@trunk.example;transport=tls"),
        ("sips:bo@example.com:5061", "sips:**@example.com:5061"),
    ],
)
def test_a_number_shows_its_beginning_and_end(number: str, shown: str) -> None:
    assert masked(number) == shown


@given(st.from_regex(r"\+?[1-9][0-9]{1,14}", fullmatch=True))
def test_at_most_five_characters_are_shown(number: str) -> None:
    assert len(masked(number)) == len(number)
    assert sum(character != "*" for character in masked(number)) <= 5
    assert "*" in masked(number)


def test_numbers_inside_a_text_are_masked() -> None:
    text = "calling +1 555-123-4567 or sip:alice.brown@example.com failed with 21211 after 30 s"
    shown = without_numbers(text)
    assert "4567" not in shown
    assert "brown" not in shown
    assert shown.endswith("@example.com failed with 21211 after 30 s")


@given(st.text(), st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), st.text())
def test_no_text_around_a_number_keeps_it_whole(before: str, number: str, after: str) -> None:
    assert number not in without_numbers(before + number + after)
