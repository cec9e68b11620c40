"""Which transcripts are believed, given what was heard."""

import numpy as np
import pytest

from services.asr.engine import Transcript
from services.asr.phantoms import Rejection, unbelieved, without_speech
from services.asr.utterance_audio import UtteranceAudio


def audio(speech_s: float = 1.0, probability: float = 0.9, rms: float = 0.1) -> UtteranceAudio:
    utterance = UtteranceAudio()
    utterance.note(rms, 2.0)
    for _ in range(round(speech_s / 0.032)):
        utterance.note_speech(probability, 0)
    return utterance


def reading(text: str, likelihood: float = -0.2, no_speech: float = 0.05) -> Transcript:
    return Transcript(text, 0.8, average_log_probability=likelihood, no_speech_probability=no_speech)


def test_nothing_heard_is_silence() -> None:
    assert without_speech(UtteranceAudio()) is Rejection.SILENCE
    assert without_speech(audio(speech_s=0.0, rms=0.0005)) is Rejection.SILENCE


def test_sound_without_speech_is_noise() -> None:
    assert without_speech(audio(speech_s=0.0)) is Rejection.NOISE
    assert without_speech(audio(speech_s=0.03)) is Rejection.NOISE


def test_speech_is_worth_reading() -> None:
    assert without_speech(audio(speech_s=0.2)) is None


@pytest.mark.parametrize("text", ["Thank you.", "Bye.", "You", "What time do you open?", "Yes."])
def test_what_was_clearly_said_is_believed(text: str) -> None:
    assert unbelieved(reading(text), audio()) is None


@pytest.mark.parametrize(
    ("transcript", "heard"),
    [
        (reading("Thank you."), audio(speech_s=0.13)),
        (reading("Thanks for watching!"), audio(probability=0.45)),
        (reading("you", no_speech=0.5), audio()),
        (reading("Bye.", likelihood=-0.9), audio()),
    ],
)
def test_well_known_phantom_falls_where_the_evidence_is_weak(transcript: Transcript, heard: UtteranceAudio) -> None:
    assert unbelieved(transcript, heard) is Rejection.PHANTOM


def test_other_words_stand_on_weak_evidence() -> None:
    assert unbelieved(reading("Yes."), audio(speech_s=0.13)) is None


@pytest.mark.parametrize(
    "transcript",
    [
        reading("I'm not going to do that.", likelihood=-1.57, no_speech=0.62),
        reading("We were there.", likelihood=-0.9, no_speech=0.7),
        reading("I want to go. " * 12),
        reading("You're not able to hear it.", likelihood=-1.12),
    ],
)
def test_unlikely_and_looping_readings_fall(transcript: Transcript) -> None:
    assert unbelieved(transcript, audio(speech_s=10.0)) is Rejection.PHANTOM


def test_more_words_than_anyone_says_in_the_time_fall() -> None:
    text = "the quick brown fox jumps over a lazy dog"
    assert unbelieved(reading(text), audio(speech_s=0.3)) is Rejection.PHANTOM
    assert unbelieved(reading(text), audio(speech_s=1.5)) is None


@pytest.mark.parametrize("text", ["", "...", " - "])
def test_reading_without_words_is_noise(text: str) -> None:
    assert unbelieved(reading(text), audio()) is Rejection.NOISE


def test_empty_utterance_has_no_probability_and_nothing_to_take() -> None:
    utterance = UtteranceAudio()
    assert utterance.speech_probability == 0.0
    np.testing.assert_array_equal(utterance.take(), np.zeros(0, np.float32))
