"""Facts are recognised however a recogniser writes them."""

import re

import pytest

from tools.caller.facts import Fact, missing_facts, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nine a.m. to 5:30, $12.50", "9 am to 5 30 12 50 dollars"),
        ("We open at eleven o'clock.", "we open at 11"),
        ("Twenty-five dollars", "25 dollars"),
        ("one hundred and twenty", "120"),
        ("two thousand twenty five", "2025"),
        ("nineteen fifty", "19 50"),
        ("eight fifty", "8 50"),
        ("555-0142", "555 0142"),
        ("five five five, oh one four two", "5 5 5 0 1 4 2"),
        ("Oh, I am so sorry.", "oh i am so sorry"),
        ("the twenty-first of May", "the 21 of may"),
        ("on the 3rd floor", "on the 3 floor"),
        ("9AM-5PM", "9 am 5 pm"),
        ("1,200 bikes & 50% off", "1200 bikes and 50 percent off"),
        ("it\u2019s someone's", "its someones"),
    ],
)
def test_normalised_text_has_digits_and_no_punctuation(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        ("nine( am)? to six", "We are open from 9 a.m. to 6."),
        ("9 to 6", "from nine to six"),
        ("twelve dollars", "We fix a flat tire for $12 while you wait."),
        ("5550142", "Our number is 555-0142."),
        ("5550142", "five five five, zero one four two"),
        (r"\bnine\b", "at 9"),
        ("twenty first", "the 21st"),
        ("saturday|sunday", "on Sunday"),
        ("forty two station road", "We are at 42 Station Road"),
    ],
)
def test_fact_is_found(pattern: str, heard: str) -> None:
    assert Fact(pattern).occurs_in(heard)


@pytest.mark.parametrize(
    ("pattern", "heard"), [("one", "eleven, 11 or 21"), ("nine", "ninety"), ("card", "cards"), ("9 to 6", "9 to 16")]
)
def test_fact_is_whole_words(pattern: str, heard: str) -> None:
    assert not Fact(pattern).occurs_in(heard)


def test_missing_facts_are_named_as_written() -> None:
    assert missing_facts("Open from 9 to 6.", ("nine", "seven", "six")) == ("seven",)


def test_pattern_that_does_not_compile_is_refused() -> None:
    with pytest.raises(re.error):
        Fact("nine(")
