"""A text as it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tts.normalise import has_speech, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        # Times.
        ("at 9:05", "at 9 oh 5"),
        ("at 9:30 a.m. today", "at 9 30 AM today"),
        ("at 12:00", "at 12 o'clock"),
        ("at 5:00 p.m.", "at 5 PM."),
        ("14:30", "14 30"),
        ("14:00", "2 PM"),
        ("0:00", "12 AM"),
        ("9am-5pm", "9 AM to 5 PM"),
        ("10:30–11:45", "10 30 to 11 45"),  # noqa: RUF001
        ("Mon-Fri", "Monday to Friday"),
        ("24/7", "24 7"),
        # Prices.
        ("$14.50", "14 dollars and 50 cents"),
        ("$1", "1 dollar"),
        ("$1,500", "1,500 dollars"),
        ("$0.99", "99 cents"),
        ("$2.00", "2 dollars"),
        ("$1.5 million", "1.5 million dollars"),
        ("$1.234", "1.234 dollars"),
        ("$20-30", "20 dollars to 30 dollars"),
        ("€5.01", "5 euros and 1 cent"),
        ("£0.50", "50 pence"),
        ("5 dollars", "5 dollars"),
        # Telephone numbers and other names of digits.
        ("call 555-1234", "call 5 5 5, 1 2 3 4"),
        ("(555) 123-4567", "5 5 5, 1 2 3, 4 5 6 7"),
        ("+1 555 123 4567", "plus 1, 5 5 5, 1 2 3, 4 5 6 7"),
        ("+15551234567", "plus 1, 5 5 5, 1 2 3, 4 5 6 7"),
        ("order 482137", "order 4 8 2, 1 3 7"),
        ("order 48213700", "order 4 8 2 1, 3 7 0 0"),
        ("zip 90210", "zip 9 0 2 1 0"),
        ("1234 people", "1234 people"),
        # Dates.
        ("2024-05-01", "May 1st, 20 24"),
        ("05/12/1999", "May 12th, 19 99"),
        ("2005-06-02", "June 2nd, 2000 5"),
        ("2000-06-03", "June 3rd, 2000"),
        ("1900-06-23", "June 23rd, 19 hundred"),
        ("1909-06-23", "June 23rd, 19 oh 9"),
        ("2024-13-01", "2024-13-01"),
        ("Jan. 5", "January 5"),
        # Left to espeak-ng, which says them well.
        ("50% & more", "50% & more"),
        ("the 3rd of 1,500", "the 3rd of 1,500"),
        ("info@bella-pizza.com", "info@bella-pizza.com"),
        # Addresses.
        ("see https://www.example.com/menu.", "see example.com slash menu."),
        ("www.bella-pizza.com/our_menu/?a=1", "bella-pizza.com slash our menu"),
        ("john_doe@example.com", "john underscore doe@example.com"),
        # Markup.
        ("**Bold** and _soft_ and `code`", "Bold and soft and code"),
        ("# Menu\n- Pizza\n1. Salad", "Menu Pizza Salad"),
        ("[our site](https://example.com)", "our site"),
        ("<b>hot</b> &amp; fresh", "hot & fresh"),
        ("[[fəʊ]]", "fəʊ"),
        ("pizza | pasta", "pizza, pasta"),
        # Pictures and invisible marks.
        ("Hello 😀 there\u200b!", "Hello there!"),
        ("👍🏽", ""),
        # Words.
        ("Dr. Smith of St. James", "Doctor Smith of Saint James"),
        ("5th Ave.", "5th Avenue."),
        ("No. 5 or #6", "number 5 or number 6"),
        ("~5 km, 10°C, 1/2", "about 5 kilometers, 10 degrees Celsius, one half"),
        ("$5/person and/or 2 * 3", "5 dollars per person and or 2 times 3"),
        ("7 days/week", "7 days per week"),
        ("the FAQs", "the F A Qs"),
        ("from 9-5", "from 9 to 5"),
        # Pauses.
        ("Well... yes", "Well, yes"),
        ("wait—what", "wait, what"),
        ("Good…", "Good."),
    ],
)
def test_text_is_written_as_it_is_said(written: str, said: str) -> None:
    assert speakable(written) == said


def test_other_languages_lose_only_markup() -> None:
    assert speakable("**Um** 9:05 $5 😀", "de_DE") == "Um 9:05 $5"


@pytest.mark.parametrize(("text", "speech"), [("a", True), ("7", True), ("ü", True), ("!?", False), ("", False)])
def test_only_letters_and_digits_are_speech(text: str, speech: bool) -> None:
    assert has_speech(text) is speech


@given(st.text(max_size=200))
def test_any_text_can_be_made_speakable(text: str) -> None:
    said = speakable(text)
    assert "[[" not in said
    assert said == said.strip()


@given(st.text(alphabet="0123456789.,:-/$+ ()#apm", max_size=60))
def test_what_can_be_said_is_never_lost_whole(text: str) -> None:
    assert has_speech(speakable(text)) or not any(c.isalnum() for c in text)
