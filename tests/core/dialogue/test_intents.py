"""What callers ask of the call itself."""

import time

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
        ("No, that's all for today, thank you very much.", Intent.GOODBYE),
        ("That is it, thanks. Bye.", Intent.GOODBYE),
        ("That will be all.", Intent.GOODBYE),
        ("Thanks for your help, bye.", Intent.GOODBYE),
        ("See you tomorrow, bye.", Intent.GOODBYE),
        ("How do I say goodbye in French?", None),
        ("That's all wrong, I asked for the price of a helmet.", None),
        ("That's all I know, my bike is red.", None),
        ("That is it, the blue one, how much is it", None),
        ("That is all in the service.", None),
        ("Bye the way, are you open", None),
        ("No thanks, bye the way.", None),
        ("See you on Monday, are you open then", None),
        ("Can I speak to a human, please?", Intent.TRANSFER),
        ("I want to talk to someone.", Intent.TRANSFER),
        ("Operator.", Intent.TRANSFER),
        ("Put me through, please.", Intent.TRANSFER),
        ("I'd like to be put through to a colleague.", Intent.TRANSFER),
        ("Can I talk with someone about my repair?", Intent.TRANSFER),
        ("Can you connect my brakes to the frame?", None),
        ("Do I have to talk to a person to rent a bike?", None),
        ("Can you hand my bike over to someone else?", None),
        ("Someone stole my bike.", None),
        ("Somebody broke my bike.", None),
        ("A person like me.", None),
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


@pytest.mark.parametrize("phrase", ["bye ", "thanks ", "see you then ", "that is all ", "talk to "])
def test_a_recogniser_that_repeats_itself_costs_no_time(phrase: str) -> None:
    began_s = time.perf_counter()

    assert recognise(phrase * 200 + "bicycle") is None

    assert time.perf_counter() - began_s < 0.5
