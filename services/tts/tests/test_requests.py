"""What clients ask for, and why it is refused."""

import math

import pytest

from services.tts.clauses import Break
from services.tts.requests import (
    InvalidRequestError,
    check_sample_rate,
    check_speaking_rate,
    check_text,
    spoken_clauses,
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "text is empty"),
        (" \n\t", "text is empty"),
        ("x" * 11, "text has 11 characters, more than 10"),
        ("ab\x00c", "control character U\\+0000 at position 2"),
        ("ab\x1bc", "control character U\\+001B"),
        ("ab\x85c", "control character U\\+0085"),
    ],
)
def test_text_that_cannot_be_spoken_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        check_text(text, 10)


def test_line_ends_and_tabs_are_text() -> None:
    assert check_text("a\r\n\tb", 10) == "a\r\n\tb"


@pytest.mark.parametrize("rate_hz", [-8000, 1, 11025, 44100, 48000])
def test_other_sample_rates_are_refused(rate_hz: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"sample_rate {rate_hz} is none of 8000, 16000, 22050"):
        check_sample_rate(rate_hz)


@pytest.mark.parametrize("rate", [-1.0, 0.0, 0.49, 2.01, 1e9, math.inf, math.nan])
def test_absurd_speaking_rates_are_refused(rate: float) -> None:
    with pytest.raises(InvalidRequestError, match="speaking_rate"):
        check_speaking_rate(rate)


def test_speaking_rates_that_sound_alike_are_one() -> None:
    assert check_speaking_rate(1.0999999) == check_speaking_rate(1.1)


@pytest.mark.parametrize("text", ["...", "👍", "—", "* * *", "\u200b"])
def test_text_with_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="nothing in the text can be spoken"):
        spoken_clauses(text, "en_US")


def test_clauses_keep_what_was_written_beside_what_is_said() -> None:
    first, second = spoken_clauses("**It costs** just $5, and it is good", "en_US")
    assert (first.text, first.spoken, first.end) == ("**It costs** just $5,", "It costs just 5 dollars,", Break.COMMA)
    assert (second.text, second.spoken) == ("and it is good", "and it is good.")


def test_a_cut_without_a_mark_is_said_as_going_on() -> None:
    first, second = spoken_clauses("We are open from nine in the morning until half past five in the evening", "en_US")
    assert first.spoken == "We are open from nine in the morning,"
    assert second.spoken.endswith("in the evening.")


@pytest.mark.parametrize("text", ["Good.", "Really?", "Great!", 'He said "yes."', "(It is.)"])
def test_a_sentence_keeps_its_own_end(text: str) -> None:
    assert spoken_clauses(text, "en_US")[0].spoken == text


def test_a_piece_of_a_word_gets_no_mark() -> None:
    assert [clause.spoken[-1] for clause in spoken_clauses("x" * 70, "en_US")] == ["x", "."]
