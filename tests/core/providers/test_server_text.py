"""What of a server's words may be logged."""

import pytest

from core.providers.base import Message
from core.providers.server_text import LEFT_OUT, LONGEST, server_text

CONVERSATION = (Message("system", "You are the receptionist of the Harbour Hotel."), Message("user", "my pin is 4711"))


@pytest.mark.parametrize(
    "text",
    [
        "Input should be a valid list, input: 'You are the receptionist of the Harbour Hotel.'",
        "Input should be a valid list, input: 'You are the rece...arbour Hotel.'",
        "invalid value\n'my pin\n is 4711'",
    ],
)
def test_words_that_repeat_the_conversation_are_left_out(text: str) -> None:
    assert server_text(text, CONVERSATION) == LEFT_OUT


def test_other_words_are_told_on_one_short_line() -> None:
    assert server_text("model 'x'\n  not found", CONVERSATION) == "model 'x' not found"
    assert len(server_text("x" * 1000, CONVERSATION)) == LONGEST


def test_silent_messages_are_in_no_text() -> None:
    assert server_text("no details", (Message("assistant", ""),)) == "no details"
