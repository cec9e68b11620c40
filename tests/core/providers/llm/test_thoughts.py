"""Thoughts that a server leaves in the answer are never said."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.llm.thoughts import Aloud

SPOKEN = [
    (["Yes, ", "we do."], "Yes, we do."),
    (["<think>", "\nThe caller", " asks.\n", "</think>", "\n\n", "Yes."], "Yes."),
    (["<th", "ink>Hm</thi", "nk> Yes."], "Yes."),
    (["<think>a</think>One. <think>b</think>Two."], "One. Two."),
    (["<think></think>", "\n\n", "Yes."], "Yes."),
    (["[THINK]Hm[/THINK]Yes."], "Yes."),
    (["<thought>Hm</thought>Yes."], "Yes."),
    (["<thinking>a <think>b</think> c</thinking>Yes."], "Yes."),
    (["<think>3 < 4, </thin, never closed"], ""),
    (["3 < 4 and <thin ice>", " <"], "3 < 4 and <thin ice> <"),
    ([], ""),
]


def said(pieces: Sequence[str]) -> str:
    aloud = Aloud()
    return "".join([*map(aloud.feed, pieces), aloud.rest()])


@pytest.mark.parametrize(("pieces", "spoken"), SPOKEN)
def test_only_what_is_no_thought_is_said(pieces: list[str], spoken: str) -> None:
    assert said(pieces) == spoken


@pytest.mark.parametrize(("pieces", "spoken"), SPOKEN)
def test_it_does_not_matter_where_the_pieces_are_cut(pieces: list[str], spoken: str) -> None:
    assert said(list("".join(pieces))) == spoken


def test_of_thoughts_that_began_in_the_prompt_what_was_not_said_yet_is_left_out() -> None:
    assert said(["The caller asks. ", "So </think>Yes."]) == "The caller asks. Yes."
    assert said(["The caller asks. So </think>Yes."]) == "Yes."


@given(st.lists(st.text(alphabet="<>/[]thinkTHIK x\n"), max_size=6), st.integers(1, 9))
def test_thoughts_are_never_said_however_they_are_cut(pieces: list[str], size: int) -> None:
    text = "<think>" + "".join(pieces).replace("</think>", "") + "SECRET</think>"
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    assert "SECRET" not in said(cut)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="<["))))
def test_an_answer_without_marks_passes_at_once_and_whole(pieces: list[str]) -> None:
    aloud = Aloud()
    assert [aloud.feed(piece) for piece in pieces] == pieces
    assert aloud.rest() == ""
    assert not aloud.thought


def test_what_may_be_a_mark_waits_and_nothing_else_does() -> None:
    aloud = Aloud()
    assert aloud.feed("Yes <t") == "Yes "
    assert aloud.feed("able>") == "<table>"


def test_thoughts_take_no_memory() -> None:
    aloud = Aloud()
    aloud.feed("<think>")
    for _ in range(1000):
        assert aloud.feed("x" * 1000) == ""
    assert aloud.feed("</think>Yes.") == "Yes."
