"""Guesses become stable by staying the same over a pause; until then they begin no turn, and end none early."""

import pytest
from pipecat.frames.frames import InterimTranscriptionFrame
from pipecat.turns.types import ProcessFrameResult

from core.pipeline.settings import AudioSettings
from core.pipeline.settling import SETTLE_S, Settling
from core.pipeline.turns import SpokenWordsStart
from core.providers.base import RecognitionStream, Transcript
from tests.core.pipeline.conftest import Place, Setup
from tests.core.pipeline.recognisers import MannerRecognizer, MannerStream

STEP_S = 0.06


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def guess(text: str, *, current: bool = True) -> Transcript:
    return Transcript(text, is_current=current)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settling(clock: Clock) -> Settling:
    return Settling(clock)


def settled_after_s(settling: Settling, clock: Clock, transcript: Transcript, within_s: float = 2.0) -> float | None:
    """How long it is repeated until it is stable; None if it never is."""
    begin_s = clock.now_s
    while clock.now_s - begin_s < within_s:
        if settling.note(transcript)[1]:
            return clock.now_s - begin_s
        clock.now_s += STEP_S
    return None


def test_words_that_stay_the_same_over_a_pause_are_stable(settling: Settling, clock: Clock) -> None:
    settling.note(guess("when are you open"))
    settling.note_pause()
    assert settled_after_s(settling, clock, guess("when are you open")) == pytest.approx(SETTLE_S, abs=STEP_S)


def test_a_late_word_begins_the_wait_anew(settling: Settling, clock: Clock) -> None:
    settling.note_pause()
    settling.note(guess("when are you"))
    clock.now_s += SETTLE_S - 0.01
    assert settling.note(guess("when are you open")) == (True, False)
    assert settled_after_s(settling, clock, guess("when are you open")) == pytest.approx(SETTLE_S, abs=STEP_S)


def test_words_are_stable_once(settling: Settling, clock: Clock) -> None:
    settling.note_pause()
    assert settled_after_s(settling, clock, guess("yes")) is not None
    assert settled_after_s(settling, clock, guess("yes")) is None


def test_words_that_were_stable_are_so_again_after_more_speech_without_words(settling: Settling, clock: Clock) -> None:
    settling.note_pause()
    settled_after_s(settling, clock, guess("yes"))
    settling.note_speech()
    assert settled_after_s(settling, clock, guess("yes")) is None
    settling.note_pause()
    assert settled_after_s(settling, clock, guess("yes")) is not None


@pytest.mark.parametrize("transcript", [guess("yes", current=False), guess("")])
def test_words_of_a_recogniser_that_is_behind_and_no_words_never_settle(
    settling: Settling, clock: Clock, transcript: Transcript
) -> None:
    settling.note_pause()
    assert settled_after_s(settling, clock, transcript) is None


def test_nothing_settles_while_the_caller_speaks(settling: Settling, clock: Clock) -> None:
    settling.note_pause()
    settling.note_speech()
    assert settled_after_s(settling, clock, guess("yes")) is None


def test_a_recogniser_that_says_stable_itself_is_believed_at_once(settling: Settling, clock: Clock) -> None:
    assert settling.note(Transcript("yes", is_stable=True)) == (True, True)
    assert settling.note(Transcript("yes", is_stable=True)) == (False, False)


def test_the_same_words_in_the_next_utterance_are_new(settling: Settling, clock: Clock) -> None:
    settling.note(guess("yes"))
    settling.forget()
    assert settling.note(guess("yes")) == (True, False)


@pytest.mark.parametrize(
    ("transcript", "begins"),
    [
        (Transcript("yes"), True),
        (Transcript("yes", is_stable=True), True),
        (Transcript("yes", is_current=True), False),
        (Transcript("yes", is_current=True, is_stable=True), True),
        (Transcript(" ", is_stable=True), False),
    ],
)
async def test_a_guess_alone_begins_no_turn(transcript: Transcript, begins: bool) -> None:
    frame = InterimTranscriptionFrame(transcript.text, "caller", "", result=transcript)
    result = await SpokenWordsStart().process_frame(frame)
    assert result is (ProcessFrameResult.STOP if begins else ProcessFrameResult.CONTINUE)


class _HastyStream(MannerStream):
    """Takes words for stable, and hears another one later."""

    async def send(self, pcm: bytes) -> None:
        await super().send(pcm)
        if self._read == ["Can I pay"]:
            self._read = ["Can I pay by the"]
            self._results.put_nowait(Transcript("Can I pay by the"))


class _HastyRecognizer(MannerRecognizer):
    async def open(self, *_: object) -> RecognitionStream:
        return _HastyStream("stable", self._lines, 16000)


async def test_words_that_come_after_stable_ones_lengthen_the_pause_where_they_open_a_sentence(place: Place) -> None:
    audio = AudioSettings(endpoint_ms=500, silence_timeout_ms=1200)
    talk = await place(Setup(recognizer=_HastyRecognizer("stable", ["Can I pay"]), audio=audio))
    await talk.heard_out(0)

    talk.say("Can I pay")
    turn = await talk.turn(1)

    assert turn.heard == "Can I pay by the"
    assert turn.stages_ms()["endpoint"] > 1100
