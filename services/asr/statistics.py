"""What the service counts: for Prometheus, and for GetStats."""

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.asr.phantoms import Rejection

_SECONDS = (0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)


class Statistics:
    """Of one service since it began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started_s = time.monotonic()
        self.active = 0
        self.total = 0
        self.phantoms = 0
        self._passes = 0
        self._pass_seconds = 0.0
        self._active = Gauge("oavc_asr_streams_active", "Streams being heard.", registry=registry)
        self._pass = Histogram(
            "oavc_asr_pass_seconds", "Engine time of one reading.", ("kind",), buckets=_SECONDS, registry=registry
        )
        self._final = Histogram(
            "oavc_asr_final_seconds",
            "From the end of an utterance being known to its final transcript.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._rejected = Counter(
            "oavc_asr_rejected_total", "Finals sent empty although audio was heard.", ("reason",), registry=registry
        )
        self._dropped = Counter(
            "oavc_asr_interim_dropped_total",
            "Interim readings given up: the engine was busy.",
            registry=registry,
        )
        for reason in Rejection:
            self._rejected.labels(reason)

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started_s

    @property
    def average_pass_s(self) -> float:
        return self._pass_seconds / self._passes if self._passes else 0.0

    @contextlib.contextmanager
    def connection(self) -> Iterator[None]:
        self.active += 1
        self.total += 1
        self._active.inc()
        try:
            yield
        finally:
            self.active -= 1
            self._active.dec()

    def read(self, kind: str, seconds: float) -> None:
        """A pass of the engine ended; the kind is "interim", "stable" or "final"."""
        self._passes += 1
        self._pass_seconds += seconds
        self._pass.labels(kind).observe(seconds)

    def answered(self, seconds: float, rejection: Rejection | None) -> None:
        """A final transcript was ready so long after it was asked for."""
        self._final.observe(seconds)
        if rejection:
            self._rejected.labels(rejection).inc()
            self.phantoms += rejection is Rejection.PHANTOM

    def dropped(self) -> None:
        self._dropped.inc()
