"""How much time Whisper is given to read, and whether to believe what it read of less than its thirty seconds.

The encoder costs the same for a second as for thirty, unless it is given a shorter window. A window with too little
room after the last word makes the decoder start again from the beginning; some seconds of quiet prevent that.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from services.asr.engine import Samples

FRAMES_PER_SECOND = 100
WINDOW_MAX_FRAMES = 3000

# Fast speech stays below this; the looping decoder does not.
_TOKENS_PER_SECOND = 7
_TOKENS_SPARE = 8
_REPETITIVE = 2.0
_RESTART_WORDS_MIN = 2
_NO_SPEECH = 0.6
_NO_SPEECH_LOG_PROBABILITY = -1.0


@dataclass(frozen=True, slots=True)
class WindowShape:
    """How short a window may be, and how much room it leaves after the speech."""

    frames_min: int
    room_frames: int

    def frames(self, audio_frames: int) -> int:
        """To give the encoder for so many frames of speech."""
        return min(WINDOW_MAX_FRAMES, max(self.frames_min, audio_frames + self.room_frames))


# docs/benchmarks.md compares them: with less the decoder starts to loop, with more it only takes longer.
ADAPTIVE = WindowShape(frames_min=1000, room_frames=300)
FULL = WindowShape(frames_min=WINDOW_MAX_FRAMES, room_frames=0)


def padded(features: Samples, frames: int) -> Samples:
    """The features cut or filled to so many frames, with their own quietest value: that is what silence looks like."""
    features = features[:, :frames]
    missing = frames - features.shape[1]
    if not missing:
        return np.ascontiguousarray(features)
    return np.pad(features, ((0, 0), (0, missing)), constant_values=features.min())


def tokens_max(seconds: float) -> int:
    """More tokens than a person says in that time."""
    return _TOKENS_SPARE + int(_TOKENS_PER_SECOND * seconds)


def without_restart(text: str) -> str:
    """The text up to where it starts again from its own beginning, whole or cut off."""
    words = text.split()
    plain = [word.strip(".,!?").lower() for word in words]
    for start in range(_RESTART_WORDS_MIN, len(words) - _RESTART_WORDS_MIN + 1):
        tail = plain[start:]
        if tail[:start] == plain[: min(start, len(tail))]:
            return " ".join(words[:start])
    return text


def repetitive(text: str) -> bool:
    """Said over and over (Whisper's own compression test)."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) > _REPETITIVE


def hopeless(average_log_probability: float, no_speech_probability: float) -> bool:
    """Whether nobody spoke, so that another reading would be in vain (thresholds of Whisper's own decoder)."""
    return no_speech_probability > _NO_SPEECH and average_log_probability < _NO_SPEECH_LOG_PROBABILITY


def doubtful(text: str, average_log_probability: float, doubt_below: float, tokens: int, seconds: float) -> bool:
    """Whether a short window's reading should be read again in a full one."""
    return (
        average_log_probability < doubt_below
        or tokens >= tokens_max(seconds)
        or repetitive(text)
        or without_restart(text) != text
    )
