"""The speech of one utterance, cut out of a stream: what was said, how sure it was speech, and when it was said."""

import math

import numpy as np

from services.asr.engine import SAMPLE_RATE_HZ, Samples
from services.asr.voice_activity import WINDOW

WINDOW_S = WINDOW / SAMPLE_RATE_HZ
# Less than this is a click, a breath or the tail of an echo.
SPEECH_MIN_S = 0.09
_SILENCE_DBFS = -55.0


class UtteranceAudio:
    """Filled by the segmenter, emptied by `take`.

    Attributes:
        speech_s: time in which somebody spoke.
        speech_end: sample of the stream at which the last speech ended.
        quiet_s: time since then.
        hushed: silence was added after the last speech.
        heard_s: time since the utterance was begun, silence included.
        peak_rms: of its loudest window, speech or not.
    """

    def __init__(self) -> None:
        self.heard_s = 0.0
        self.peak_rms = 0.0
        self.forget()

    def forget(self) -> None:
        """What was kept was no speech after all."""
        self.speech_s = 0.0
        self.speech_end = 0
        self.quiet_s = 0.0
        self.hushed = False
        self._probability_sum = 0.0
        self._pending: list[Samples] = []
        self._pending_size = 0
        self._size = 0
        # Where each kept stretch begins, in samples of the utterance and of the stream.
        self._stretches: list[tuple[int, int]] = []

    @property
    def spoken(self) -> bool:
        """Whether somebody spoke, for long enough to be a word."""
        return self.speech_s >= SPEECH_MIN_S

    @property
    def speech_probability(self) -> float:
        """Of what was taken for speech, on average."""
        return self._probability_sum * WINDOW_S / self.speech_s if self.speech_s else 0.0

    @property
    def silent(self) -> bool:
        """Whether there was nothing to be heard at all, speech or not."""
        return self.peak_rms <= 0 or 20 * math.log10(self.peak_rms) < _SILENCE_DBFS

    @property
    def pending_s(self) -> float:
        return self._pending_size / SAMPLE_RATE_HZ

    def note(self, rms: float, seconds: float) -> None:
        """Something was heard, kept or not."""
        self.peak_rms = max(self.peak_rms, rms)
        self.heard_s += seconds

    def note_speech(self, probability: float, end: int) -> None:
        self.speech_s += WINDOW_S
        self._probability_sum += probability
        self.speech_end = end
        self.quiet_s = 0.0
        self.hushed = False

    def append(self, samples: Samples, position: int) -> None:
        """Keeps samples that begin at this one of the stream."""
        if not self._stretches or self._stream_position(self._size) != position:
            self._stretches.append((self._size, position))
        self._pending.append(samples)
        self._pending_size += len(samples)
        self._size += len(samples)

    def add_silence(self, seconds: float) -> None:
        """After what was said, in the place of the stream's own, which is not kept; once until more is said."""
        if not self.hushed:
            self.hushed = True
            self.append(np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32), self._stream_position(self._size))

    @property
    def kept(self) -> tuple[int, bool]:
        """Another one wherever a further reading may say more."""
        return self.speech_end, self.hushed

    def take(self) -> Samples:
        """What was kept since the last time."""
        taken = np.concatenate(self._pending) if self._pending else np.zeros(0, np.float32)
        self._pending = []
        self._pending_size = 0
        return taken

    def stream_s(self, utterance_s: float) -> float:
        """When in the stream something was said, given when it was in the utterance."""
        return self._stream_position(round(utterance_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ

    def _stream_position(self, sample: int) -> int:
        start, position = next(
            (stretch for stretch in reversed(self._stretches) if stretch[0] <= sample), self._stretches[0]
        )
        return position + sample - start
