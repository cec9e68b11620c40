"""What callers ask of the call itself."""

import pytest

from core.dialogue.intents import Intent, recognise


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("Goodbye.", Intent.GOODBYE),
        ("Okay, thank you, bye!", Intent.GOODBYE),
        ("That's all, thank you.", Intent.GOODBYE),
        ("Thanks, that was everything.", Intent.GOODBYE),
        ("Please hang up.", Intent.GOODBYE),
        ("Thank you very much. Bye-bye.", Intent.GOODBYE),
        ("How do I say goodbye in French?", None),
        ("Can I speak to a human, please?", Intent.TRANSFER),
        ("I want to talk to someone.", Intent.TRANSFER),
        ("Operator.", Intent.TRANSFER),
        ("Put me through, please.", Intent.TRANSFER),
        ("Can you connect my brakes to the frame?", None),
        ("Can you repeat that, please?", Intent.REPEAT),
        ("Pardon?", Intent.REPEAT),
        ("Sorry, what did you say?", Intent.REPEAT),
        ("Can you repair that?", None),
        ("Thank you very much.", Intent.THANKS),
        ("Hello?", Intent.GREETING),
        ("Good morning.", Intent.GREETING),
        ("Hello, when are you open?", None),
        ("When are you open?", None),
        ("", None),
    ],
)
def test_intent_is_recognised_only_where_it_is_the_whole_request(said: str, intent: Intent | None) -> None:
    assert recognise(said) is intent
