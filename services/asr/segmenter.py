"""Cuts speech out of a stream as it comes: silence is dropped, so that it costs neither memory nor a model's time."""

from collections import deque

import numpy as np

from services.asr.engine import Samples
from services.asr.utterance_audio import WINDOW_S, UtteranceAudio
from services.asr.voice_activity import WINDOW, VoiceActivity

# Speech goes on until it is this much less likely than what began it (Silero's own hysteresis).
_HYSTERESIS = 0.15


class Segmenter:
    """One stream's speech, utterance by utterance. Times are counted in samples since the stream began."""

    def __init__(self, voice_activity: VoiceActivity, threshold: float, margin_s: float) -> None:
        self._voice_activity = voice_activity
        self._begin_at = threshold
        self._go_on_at = max(0.01, threshold - _HYSTERESIS)
        self._margin_s = margin_s
        self._before: deque[Samples] = deque(maxlen=max(1, round(margin_s / WINDOW_S)))
        self._rest = np.zeros(0, np.float32)
        self._position = 0
        self._speaking = False
        self._keeping = False
        self.utterance = UtteranceAudio()

    def feed(self, samples: Samples) -> None:
        """Takes the stream's next samples; the last few wait for more, up to one window."""
        stream = np.concatenate((self._rest, samples))
        count = len(stream) // WINDOW
        self._rest = stream[count * WINDOW :]
        if not count:
            return
        windows = stream[: count * WINDOW].reshape(count, WINDOW)
        levels = np.sqrt(np.mean(windows * windows, axis=1))
        probabilities = self._voice_activity.probabilities(windows)
        for window, rms, probability in zip(windows, levels, probabilities, strict=True):
            self.utterance.note(float(rms), WINDOW_S)
            self._window(window, float(probability))
            self._position += WINDOW

    def flush(self) -> None:
        """The stream is over: what waits is filled up with silence."""
        if len(self._rest):
            self.feed(np.zeros(WINDOW - len(self._rest), np.float32))

    def next_utterance(self) -> UtteranceAudio:
        """The utterance so far; what comes belongs to a new one."""
        ended, self.utterance = self.utterance, UtteranceAudio()
        if self._keeping:
            # Its end was given away with it.
            self._before.clear()
        self._keeping = self._speaking
        return ended

    def _window(self, window: Samples, probability: float) -> None:
        utterance = self.utterance
        if probability >= (self._go_on_at if self._speaking else self._begin_at):
            if not self._keeping:
                self._begin()
            self._speaking = True
            utterance.append(window, self._position)
            utterance.note_speech(probability, self._position + WINDOW)
            return
        self._speaking = False
        utterance.quiet_s += WINDOW_S
        if self._keeping and utterance.quiet_s <= self._margin_s:
            utterance.append(window, self._position)
            return
        if self._keeping:
            self._keeping = False
            if not utterance.spoken:
                utterance.forget()
        self._before.append(window)

    def _begin(self) -> None:
        self._keeping = True
        position = self._position - WINDOW * len(self._before)
        for window in self._before:
            self.utterance.append(window, position)
            position += WINDOW
        self._before.clear()
