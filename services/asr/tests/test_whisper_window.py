"""How much Whisper is given to read, and when its short readings are doubted."""

import numpy as np
import pytest

from services.asr.engine import Alternative, Transcript, Word
from services.asr.engines import whisper_window
from services.asr.engines.joined import joined
from services.asr.engines.whisper_window import (
    ADAPTIVE,
    FULL,
    doubtful,
    hopeless,
    padded,
    repetitive,
    tokens_max,
    without_restart,
)


@pytest.mark.parametrize(
    ("audio", "window"), [(0, 1000), (100, 1000), (700, 1000), (900, 1200), (2800, 3000), (9000, 3000)]
)
def test_adaptive_window_leaves_room_after_the_speech(audio: int, window: int) -> None:
    assert ADAPTIVE.frames(audio) == window


def test_full_window_is_always_full() -> None:
    assert FULL.frames(10) == FULL.frames(10_000) == whisper_window.WINDOW_MAX_FRAMES


def test_padding_is_as_quiet_as_the_quietest_frame() -> None:
    features = np.array([[1.0, -0.5], [0.3, 0.2]], np.float32)
    out = padded(features, 4)
    assert out.shape == (2, 4)
    assert (out[:, 2:] == -0.5).all()
    assert out.dtype == np.float32


def test_too_much_is_cut() -> None:
    assert padded(np.ones((80, 30), np.float32), 20).shape == (80, 20)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Are you open on Christmas Day? Are you open on Christmas", "Are you open on Christmas Day?"),
        ("Yes, that is correct. Yes, that is correct", "Yes, that is correct."),
        ("Can you repeat that? Can you repeat that? Can you", "Can you repeat that?"),
        ("Do you do what you do?", "Do you do what you do?"),
        ("No, no, no.", "No, no, no."),
        ("Hello? Hello?", "Hello? Hello?"),
        ("", ""),
    ],
)
def test_restart_is_cut_off(text: str, kept: str) -> None:
    assert without_restart(text) == kept


def test_loops_are_repetitive_and_speech_is_not() -> None:
    assert repetitive("I want to go. " * 10)
    assert not repetitive("I ordered a pizza an hour ago and it still has not arrived.")


def test_readings_are_doubted_for_each_reason() -> None:
    assert not doubtful("What time do you open?", -0.2, -0.45, 7, 2.0)
    assert doubtful("What time do you open?", -0.5, -0.45, 7, 2.0)
    assert doubtful("What time do you open?", -0.2, -0.45, tokens_max(2.0), 2.0)
    assert doubtful("and so on " * 12, -0.2, -0.45, 7, 20.0)
    assert doubtful("Where are you? Where are", -0.2, -0.45, 7, 2.0)


def test_silence_is_not_read_twice() -> None:
    assert hopeless(-1.8, 0.85)
    assert not hopeless(-0.6, 0.85)
    assert not hopeless(-1.8, 0.2)


def test_parts_are_joined_with_their_times() -> None:
    first = Transcript("good day", 0.8, (Word("day", 0.9, 0.5, 0.9),), average_log_probability=-0.1)
    second = Transcript(
        "sir", 0.4, (Word("sir", 0.9, 0.1, 0.2),), average_log_probability=-0.9, no_speech_probability=0.5
    )
    whole = joined([(0.0, first), (10.0, second)])
    assert whole.text == "good day sir"
    assert [(word.start_s, word.end_s) for word in whole.words] == [(0.5, 0.9), (10.1, 10.2)]
    assert 0.4 < whole.confidence < 0.8
    assert whole.average_log_probability == pytest.approx((-0.1 * 8 - 0.9 * 3) / 11)
    assert whole.no_speech_probability == 0.0


def test_empty_parts_add_nothing() -> None:
    only = Transcript("yes", 0.9, alternatives=(Alternative("yeah", 0.2),))
    assert joined([(0.0, Transcript()), (10.0, only)]).alternatives == only.alternatives
    assert joined([(0.0, Transcript()), (3.0, Transcript(no_speech_probability=0.9))]).no_speech_probability == 0.9
    assert joined([]) == Transcript()
