"""Whisper writes sentences where nobody spoke. Which transcripts are not believed, and why.

What it says of silence, noise and music is known and small: thanks, goodbyes, subtitles' credits. A caller says
"thank you" too, so such a phrase falls only where the evidence of speech is weak.
"""

import re
import zlib
from enum import StrEnum

from services.asr.engine import Transcript
from services.asr.utterance_audio import UtteranceAudio


class Rejection(StrEnum):
    """As `rejected_reason` tells it."""

    SILENCE = "silence"
    NOISE = "noise"
    PHANTOM = "phantom"


_PHRASES = frozenset(
    {
        "you",
        "thank you",
        "thanks",
        "thank you very much",
        "thank you so much",
        "thanks for watching",
        "thank you for watching",
        "please subscribe",
        "bye",
        "bye bye",
        "goodbye",
        "oh",
        "so",
        "okay",
        "ok",
        "hmm",
        "mm",
        "the end",
        "im sorry",
        "i dont know",
        "subtitles by the amara org community",
    }
)

# Evidence so thin that only an unlikely phrase can stand on it.
_WEAK_SPEECH_S = 0.25
_WEAK_SPEECH_PROBABILITY = 0.5
_WEAK_NO_SPEECH = 0.4
_WEAK_LOG_PROBABILITY = -0.75

_NO_SPEECH = 0.6
_NO_SPEECH_LOG_PROBABILITY = -0.8
# Callers at 5 dB of noise stay above it, speech played backwards does not.
_HOPELESS_LOG_PROBABILITY = -1.0
_REPETITIVE = 2.4
# Nobody speaks so many words in a second; a phantom on a click does.
_WORDS_PER_SECOND_MAX = 9.0
_WORDS_SPARE = 3


def without_speech(audio: UtteranceAudio) -> Rejection | None:
    """Why there is nothing to read in the first place, None if there is."""
    if audio.spoken:
        return None
    return Rejection.SILENCE if audio.silent else Rejection.NOISE


def unbelieved(transcript: Transcript, audio: UtteranceAudio) -> Rejection | None:
    """Why a transcript is not believed, None if it is."""
    words = re.findall(r"\w+", transcript.text.lower().replace("'", ""))
    likelihood = transcript.average_log_probability
    if not words:
        return Rejection.NOISE
    if transcript.no_speech_probability > _NO_SPEECH and likelihood < _NO_SPEECH_LOG_PROBABILITY:
        return Rejection.PHANTOM
    if likelihood < _HOPELESS_LOG_PROBABILITY:
        return Rejection.PHANTOM
    data = transcript.text.encode()
    if len(data) / len(zlib.compress(data)) > _REPETITIVE:
        return Rejection.PHANTOM
    if len(words) > _WORDS_SPARE + _WORDS_PER_SECOND_MAX * audio.speech_s:
        return Rejection.PHANTOM
    weak = (
        audio.speech_s < _WEAK_SPEECH_S
        or audio.speech_probability < _WEAK_SPEECH_PROBABILITY
        or transcript.no_speech_probability > _WEAK_NO_SPEECH
        or likelihood < _WEAK_LOG_PROBABILITY
    )
    return Rejection.PHANTOM if weak and " ".join(words) in _PHRASES else None
