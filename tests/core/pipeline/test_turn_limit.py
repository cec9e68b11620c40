"""A voice that never pauses."""

from pipecat.frames.frames import (
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from core.pipeline.turn_limit import TurnLimit


async def test_a_voice_without_a_pause_is_taken_to_have_stopped() -> None:
    await run_test(
        TurnLimit(0.1),
        frames_to_send=[VADUserStartedSpeakingFrame(), SleepFrame(0.3)],
        expected_down_frames=[VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame],
    )


async def test_a_short_pause_does_not_start_the_time_anew() -> None:
    await run_test(
        TurnLimit(0.25),
        frames_to_send=[
            VADUserStartedSpeakingFrame(),
            SleepFrame(0.15),
            VADUserStoppedSpeakingFrame(),
            VADUserStartedSpeakingFrame(),
            SleepFrame(0.2),
        ],
        expected_down_frames=[
            VADUserStartedSpeakingFrame,
            VADUserStoppedSpeakingFrame,
            VADUserStartedSpeakingFrame,
            VADUserStoppedSpeakingFrame,
        ],
    )


async def test_a_turn_that_ends_in_time_is_left_alone() -> None:
    await run_test(
        TurnLimit(0.15),
        frames_to_send=[
            VADUserStartedSpeakingFrame(),
            VADUserStoppedSpeakingFrame(),
            UserStoppedSpeakingFrame(),
            SleepFrame(0.3),
        ],
        expected_down_frames=[
            VADUserStartedSpeakingFrame,
            VADUserStoppedSpeakingFrame,
            UserStoppedSpeakingFrame,
        ],
    )
