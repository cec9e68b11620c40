"""What the caller heard, and what the model is shown of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialogue.conversation import Conversation, words_heard
from core.providers.base import Message


@pytest.mark.parametrize(
    ("share", "heard"),
    [
        (0.0, ""),
        (0.05, ""),
        (0.1, "We"),
        (0.35, "We are"),
        (0.5, "We are open"),
        (1.0, "We are open from nine to six."),
        (1.5, "We are open from nine to six."),
    ],
)
def test_words_are_heard_in_proportion_to_their_letters(share: float, heard: str) -> None:
    assert words_heard("We are open from nine to six.", share) == heard


@given(st.text(max_size=80), st.floats(0, 1))
def test_what_was_heard_is_the_beginning_of_what_was_said(text: str, share: float) -> None:
    heard = words_heard(text, share)

    assert text.split()[: len(heard.split())] == heard.split()


def test_messages_hold_what_was_heard_and_begin_with_the_caller() -> None:
    conversation = Conversation()
    conversation.begin("").spoken = "Hello!"
    conversation.begin("When are you open?").spoken = "We are open"
    conversation.begin("And on Sunday?")

    assert conversation.messages(10) == [
        Message("user", "When are you open?"),
        Message("assistant", "We are open"),
        Message("user", "And on Sunday?"),
    ]
    assert conversation.messages(1) == [Message("user", "And on Sunday?")]
    assert conversation.messages(0) == []
    assert conversation.last_spoken == "We are open"


def test_nothing_was_said_before_the_first_word() -> None:
    assert Conversation().last_spoken == ""
