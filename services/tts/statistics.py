"""What the service has done, for GetStats and for Prometheus."""

import contextlib
import time
from collections.abc import Callable, Iterator

from prometheus_client import Counter, Histogram

from services.common.metrics import REGISTRY

_FIRST_AUDIO = Histogram(
    "oavc_tts_first_audio_seconds",
    "Time from a request to its first audio.",
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
)
_AUDIO = Counter("oavc_tts_audio_seconds_total", "Speech sent.", registry=REGISTRY)
_CLAUSES = Counter("oavc_tts_clauses_total", "Clauses spoken, by where they came from.", ("source",), registry=REGISTRY)


class Synthesis:
    """One request while it is answered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self.first_audio_s = 0.0
        self.audio_s = 0.0
        self.total_bytes = 0
        self.packets = 0
        self.from_cache = True

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._began_s

    def clause(self, size_bytes: int, audio_s: float, *, from_cache: bool) -> None:
        if not self.total_bytes:
            self.first_audio_s = self.elapsed_s
            _FIRST_AUDIO.observe(self.first_audio_s)
        self.total_bytes += size_bytes
        self.audio_s += audio_s
        self.from_cache &= from_cache
        _AUDIO.inc(audio_s)
        _CLAUSES.labels("cache" if from_cache else "engine").inc()


class Statistics:
    """Of the process' life so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._processing_s = 0.0
        self.active = 0
        self.total = 0

    @property
    def uptime_s(self) -> float:
        return self._clock() - self._began_s

    @property
    def average_processing_s(self) -> float:
        return self._processing_s / self.total if self.total else 0.0

    @contextlib.contextmanager
    def synthesis(self) -> Iterator[Synthesis]:
        """Counts as done only what was answered in full."""
        self.active += 1
        synthesis = Synthesis(self._clock)
        try:
            yield synthesis
            self.total += 1
            self._processing_s += synthesis.elapsed_s
        finally:
            self.active -= 1
