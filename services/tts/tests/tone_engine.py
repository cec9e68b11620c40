"""An engine whose speech is tones: as long as the words, with a real voice's silence around it."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.common.model_files import ModelBroken, ModelMissing
from services.tts.engine import UnknownVoiceError, Voice, Waveform

WORD_S = 0.2
SILENCE_S = 0.1
TONE_HZ = 440.0

ANNA = Voice("anna", "Anna", "en_US", "a tone", 22050, "female")
BERT = Voice("bert", "Bert", "de_DE", "a tone, in German", 16000, "male")
BROKEN = Voice("broken", "Broken", "en_US", "cannot be loaded", 22050)


class ToneEngine:
    """Renders at once, unless `hold` is called: then each rendering waits for `let_one_go` or `let_go`.

    Attributes:
        rendered: the clauses asked for, in the order in which their rendering began.
    """

    name = "tone"

    def __init__(self, missing: Path | None = None) -> None:
        self._missing = missing
        self._held = False
        self._may_go = threading.Semaphore(0)
        self.rendered: list[str] = []
        self.begun = threading.Semaphore(0)
        self.rests = 0
        self.closed = False
        self.failure: Exception | None = None

    def forget(self) -> None:
        """As if nothing had been rendered: what a service says to warm up is no test's business."""
        self.rendered.clear()
        self.begun = threading.Semaphore(0)

    def hold(self) -> None:
        self._held = True

    def let_one_go(self) -> None:
        self._may_go.release()

    def let_go(self) -> None:
        self._held = False
        # Far more than ever wait.
        self._may_go.release(100)

    def voices(self) -> Sequence[Voice]:
        return [ANNA, BERT, BROKEN]

    def voice(self, name: str) -> Voice:
        for voice in self.voices():
            if voice.name == name:
                return voice
        raise UnknownVoiceError(name, [voice.name for voice in self.voices()])

    def load(self, voice: str) -> None:
        if self._missing:
            raise ModelMissing(self._missing, f"oavc models fetch {voice}")

    def render(self, text: str, voice: str, speaking_rate: float) -> Waveform:
        self.rendered.append(text)
        self.begun.release()
        if self._held:
            assert self._may_go.acquire(timeout=10)
        if voice == BROKEN.name:
            raise ModelBroken(Path("broken.onnx"), "not a model", "oavc models fetch broken")
        if self.failure:
            raise self.failure
        rate_hz = self.voice(voice).sample_rate_hz
        if not any(c.isalnum() for c in text):
            return np.zeros(int(rate_hz * SILENCE_S), np.float32)
        speech = np.arange(int(rate_hz * WORD_S * len(text.split()) / speaking_rate)) / rate_hz
        tone = (0.3 * np.sin(2 * np.pi * TONE_HZ * speech)).astype(np.float32)
        silence = np.zeros(int(rate_hz * SILENCE_S), np.float32)
        return np.concatenate([silence, tone, silence])

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        self.closed = True
