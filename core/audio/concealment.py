"""Stands in for lost audio by repeating its last pitch period, ever more quietly (after ITU-T G.711 Appendix I)."""

import numpy as np
from numpy.typing import NDArray

# Pitch is sought from 200 Hz down to 66 Hz over the last 20 ms.
_SHORTEST_PERIOD_MS = 5
_LONGEST_PERIOD_MS = 15
_COMPARED_MS = 20
_FULL_LEVEL_MS = 10
_SILENT_AFTER_MS = 60
_BLEND_MS = 4

Samples = NDArray[np.float64]


class Concealer:
    """One stream's: `receive` what arrives, `conceal` what does not. 16-bit little-endian mono PCM."""

    __slots__ = ("_concealed", "_history", "_history_bytes", "_per_ms", "_period")

    def __init__(self, sample_rate_hz: int) -> None:
        self._per_ms = sample_rate_hz // 1000
        self._history_bytes = 2 * self._per_ms * (_COMPARED_MS + _LONGEST_PERIOD_MS)
        self.reset()

    def reset(self) -> None:
        """The stream begins anew: there is nothing to repeat."""
        self._history = b""
        self._period: Samples = np.zeros(0)
        self._concealed = 0

    def receive(self, pcm: bytes) -> bytes:
        """Takes audio that arrived; after a gap its first milliseconds are blended with what stood in."""
        if self._concealed:
            pcm = self._blend(pcm)
            self._concealed = 0
        history = pcm if len(pcm) >= self._history_bytes else self._history + pcm
        self._history = history[-self._history_bytes :]
        return pcm

    def conceal(self, samples: int) -> bytes:
        """That many samples in place of lost ones; silence after 60 ms, and where nothing came before."""
        if samples <= 0:
            return b""
        if not self._concealed:
            self._period = self._find_period()
        pcm = self._continue(samples)
        self._concealed += samples
        return pcm

    def _continue(self, samples: int) -> bytes:
        """The period repeated from where it stopped, without counting it as played."""
        length = len(self._period)
        silent_after = _SILENT_AFTER_MS * self._per_ms
        audible = min(samples, silent_after - self._concealed)
        if not length or audible <= 0:
            return bytes(2 * samples)
        times = np.arange(self._concealed, self._concealed + audible)
        full_level = _FULL_LEVEL_MS * self._per_ms
        fade = np.minimum(1.0, (silent_after - times) / (silent_after - full_level))
        sound = self._period[times % length] * fade
        return np.rint(sound).astype("<i2").tobytes() + bytes(2 * (samples - audible))

    def _find_period(self) -> Samples:
        """The last stretch of the history that, repeated, goes on most like it."""
        history = np.frombuffer(self._history, "<i2", len(self._history) // 2).astype(np.float64)
        shortest, longest = _SHORTEST_PERIOD_MS * self._per_ms, _LONGEST_PERIOD_MS * self._per_ms
        compared = _COMPARED_MS * self._per_ms
        if len(history) < compared + longest:
            return np.zeros(0)
        recent = history[-compared:]
        # Correlation of the latest 20 ms with those that ended `longest` down to `shortest` samples earlier.
        earlier = history[-compared - longest : len(history) - shortest]
        products = np.correlate(earlier, recent, "valid")
        squares = np.concatenate(([0.0], np.cumsum(np.square(earlier))))
        energies = squares[compared:] - squares[:-compared]
        likeness = products / np.sqrt(np.maximum(energies, 1.0))
        return _closed(history, longest - int(np.argmax(likeness)), self._per_ms)

    def _blend(self, pcm: bytes) -> bytes:
        """Fades from the stand-in, continued, into what arrived."""
        count = min(len(pcm) // 2, _BLEND_MS * self._per_ms)
        old = np.frombuffer(self._continue(count), "<i2").astype(np.float64)
        new = np.frombuffer(pcm, "<i2", count).astype(np.float64)
        rise = (np.arange(count) + 0.5) / max(count, 1)
        return np.rint(old + (new - old) * rise).astype("<i2").tobytes() + pcm[2 * count :]


def _closed(history: Samples, length: int, per_ms: int) -> Samples:
    """The last `length` samples, their end blended towards what came before their start: repeats have no click."""
    period = history[-length:].copy()
    blend = min(length // 4, _BLEND_MS * per_ms)
    rise = (np.arange(blend) + 0.5) / blend
    before = history[-length - blend : -length]
    period[-blend:] += (before - period[-blend:]) * rise
    return period
