"""Where a text is cut into clauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tts.clauses import MAX_CLAUSE_CHARS, MIN_CLAUSE_WORDS, Break, split_clauses


def texts(text: str) -> list[str]:
    return [clause.text for clause in split_clauses(text)]


@pytest.mark.parametrize(
    "text",
    [
        "We charge $1,500 for it.",
        "We open at 9:30 sharp.",
        "It is 3.5 miles away.",
        "Please ask for Dr. Smith there.",
        "We open at 9 a.m. on Sunday.",
        "Come at 9 a.m. Monday morning.",
        "Write to info@bella-pizza.com today.",
        "Some dishes, e.g. Pizza Margherita.",
        "He is John F. Kennedy himself.",
        "It is on May 1, 2024 of course.",
        "Dial (555) 123-4567 any day.",
        "We are on Main St. near you.",
        "Yes, we do.",
        "It is really good, yes.",
        'He said "Mr. Jones" to me.',
        "They sell pasta etc. every day.",
        "You have 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16.",
    ],
)
def test_what_belongs_together_is_not_cut(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. We do.", ["Yes.", "We do."]),
        ("Really? Yes! Good…", ["Really?", "Yes!", "Good…"]),
        ("We open at 9 a.m. Then we close.", ["We open at 9 a.m.", "Then we close."]),
        ("We live in the U.S. You live here.", ["We live in the U.S.", "You live here."]),
        ("I choose plan x. it is good.", ["I choose plan x.", "it is good."]),
        ("Line one\nLine two", ["Line one", "Line two"]),
        ("a line that goes\non without an end", ["a line that goes\non without an end"]),
        ("One paragraph\n\nand another", ["One paragraph", "and another"]),
        ("# Menu\n- Pizza, large\n1. Salad", ["# Menu", "- Pizza, large", "1. Salad"]),
        ("Well... We will see.", ["Well...", "We will see."]),
        ("It was Mon. Then Tue.", ["It was Mon.", "Then Tue."]),
    ],
)
def test_sentences_are_cut_apart(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Thank you for calling Bella Pizza, how can I help you today?", "Thank you for calling Bella Pizza,"),
        ("I do not know that; let me ask a colleague.", "I do not know that;"),
        ("I do not know that — let me ask a colleague.", "I do not know that —"),
        ("I do not know that... let me ask a colleague.", "I do not know that..."),
        (
            "We are open from nine in the morning until half past five in the evening.",
            "We are open from nine in the morning",
        ),
        (
            "You can find our restaurant at the corner of Main Street and Fifth Avenue.",
            "You can find our restaurant",
        ),
    ],
)
def test_the_first_clause_is_short(text: str, first: str) -> None:
    assert texts(text)[0] == first


def test_later_clauses_are_as_long_as_they_may_be() -> None:
    text = (
        "Hello my friend, we have pizza, fresh pasta, green salads and a very long list of many wines, all of it good."
    )
    assert texts(text) == [
        "Hello my friend,",
        "we have pizza, fresh pasta,",
        "green salads and a very long list of many wines, all of it good.",
    ]


def test_a_clause_says_what_divides_it_from_the_next() -> None:
    text = (
        "Oh I know that, it is very good; I know him too and I know where he lives because he told me so himself. Yes."
    )
    assert [clause.end for clause in split_clauses(text)] == [
        Break.COMMA,
        Break.CLAUSE,
        Break.CONJUNCTION,
        Break.SENTENCE,
        Break.SENTENCE,
    ]


def test_a_word_without_end_is_cut_by_length() -> None:
    clauses = split_clauses("x" * (2 * MAX_CLAUSE_CHARS + 1))
    assert [len(clause.text) for clause in clauses] == [MAX_CLAUSE_CHARS, MAX_CLAUSE_CHARS, 1]
    assert [clause.end for clause in clauses] == [Break.NONE, Break.NONE, Break.SENTENCE]


def test_a_few_long_words_are_cut_where_they_fit() -> None:
    long = "y" * 30
    assert texts(f"{long} {long} {long} {long} {long}") == [f"{long} {long}", f"{long} {long}", long]


def test_nothing_gives_no_clause() -> None:
    assert split_clauses(" \n ") == []


_words = st.sampled_from(
    "yes we open at 9:30 a.m. and Dr. Smith; 1,500 pizza. pasta! (555) - — ... \n\n * 1. so?".split(" ")
)


@given(st.lists(_words, max_size=60).map(" ".join) | st.text(max_size=300))
def test_any_text_is_cut_without_loss_into_clauses_that_fit(text: str) -> None:
    clauses = split_clauses(text)
    assert "".join("".join(clause.text.split()) for clause in clauses) == "".join(text.split())
    assert all(len(clause.text) <= MAX_CLAUSE_CHARS for clause in clauses)


@given(st.lists(st.sampled_from("we open, and close where pizza is good; so come".split()), min_size=3, max_size=50))
def test_no_stump_is_left(words: list[str]) -> None:
    for clause in split_clauses(" ".join(words)):
        assert len(clause.text.split()) >= MIN_CLAUSE_WORDS
