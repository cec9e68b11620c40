"""Judging: what was heard, and whether it was right."""

import numpy as np
import numpy.typing as npt
import pytest

from tests.tools.caller.packets import heard, said, trace
from tools.caller.judge import HeardAnswer, align, hear_answers, hear_greeting, judge
from tools.caller.recorder import Recording
from tools.caller.script import CallScript, parse_script
from tools.caller.trace import Trace

SCRIPT = parse_script(
    """
    [[step]]
    do = "listen"
    expect = "riverside"
    [[step]]
    do = "say"
    text = "When are you open?"
    expect = ["nine to six", "saturday"]
    source = "knowledge"
    [[step]]
    do = "say"
    text = "Tell me more."
    [[step]]
    do = "say"
    text = "Thanks."
    answered = false
    """
)
RIGHT = [HeardAnswer("From 9 to 6, on Saturday too.", 500.0), HeardAnswer("Well.", 500.0), HeardAnswer("", None)]
GREETING = "Hello, this is Riverside Bikes."


def verdict(
    answers: list[HeardAnswer], greeting: str = GREETING, sources: tuple[str | None, ...] = (None, None, None)
) -> list[str]:
    return judge(SCRIPT, answers, greeting, sources)


def test_right_answers_are_right() -> None:
    assert verdict(RIGHT, sources=("knowledge", "model", None)) == []


def test_each_missing_fact_is_told() -> None:
    assert verdict([HeardAnswer("We are closed.", 500.0), *RIGHT[1:]]) == [
        "'When are you open?': the answer lacks 'nine to six': heard 'We are closed.'",
        "'When are you open?': the answer lacks 'saturday': heard 'We are closed.'",
    ]


def test_silence_is_no_answer() -> None:
    assert verdict([RIGHT[0], HeardAnswer(" ... ", None), RIGHT[2]]) == ["'Tell me more.' was not answered"]


def test_wrong_source_is_told() -> None:
    assert verdict(RIGHT, sources=("model", "model", None)) == [
        "'When are you open?': answered from model, not from knowledge"
    ]


def test_greeting_is_judged() -> None:
    assert verdict(RIGHT, greeting="Hello?") == ["the greeting lacks 'riverside': heard 'Hello?'"]


def duration_ms(samples: npt.NDArray[np.int16]) -> str:
    """Stands in for a transcriber: how long it was given something to hear."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 1000)
    return f"{(loud[-1] - loud[0]) / 8:.0f}" if len(loud) else ""


def made(loud: set[int], utterances: list[tuple[int, int]]) -> Trace:
    call = trace(loud, utterances)
    call.sent = said(utterances, 200, 300)
    call.received = heard(loud, 200, 500)
    return call


def test_answer_is_what_comes_before_the_next_question() -> None:
    call = made({*range(40, 50), *range(90, 110)}, [(10, 30), (60, 80)])
    answers = hear_answers(call, Recording(call), 2, duration_ms)
    assert [float(answer.text) for answer in answers] == pytest.approx([200, 400], abs=2)
    assert [answer.voice_to_voice_ms for answer in answers] == [20 * 11, 20 * 11]


def test_interrupted_answer_is_heard_until_its_silence_and_not_taken_for_the_next_one() -> None:
    call = made({*range(40, 72), *range(100, 110)}, [(10, 30), (60, 80)])
    answers = hear_answers(call, Recording(call), 2, duration_ms)
    assert [float(answer.text) for answer in answers] == pytest.approx([640, 200], abs=2)


def test_greeting_is_what_comes_before_the_first_question() -> None:
    call = made({*range(2, 9), *range(40, 50)}, [(10, 30)])
    assert float(hear_greeting(call, Recording(call), duration_ms)) == pytest.approx(140, abs=2)
    assert hear_greeting(Trace(), Recording(Trace()), duration_ms) == ""


def test_unanswered_question_is_not_transcribed() -> None:
    call = made(set(), [(10, 30)])
    assert hear_answers(call, Recording(call), 1, lambda _: "phantom") == [HeardAnswer("", None)]


@pytest.mark.parametrize(
    ("recognised", "places"),
    [
        (["When are you open?", "How much is it?", "Goodbye."], [0, 1, 2]),
        (["When are you open?", "Goodbye."], [0, None, 1]),
        (["You.", "when are you opened", "how much is this", "Good bye"], [1, 2, 3]),
        (["How much?", "Is it?"], [None, 0, None]),
        ([], [None, None, None]),
    ],
)
def test_what_was_recognised_is_laid_beside_what_was_said(recognised: list[str], places: list[int | None]) -> None:
    assert align(["When are you open?", "How much is it?", "Goodbye."], recognised) == places


def test_script_of_these_tests_has_three_utterances() -> None:
    assert isinstance(SCRIPT, CallScript)
    assert len(SCRIPT.says) == len(RIGHT)
