"""Prometheus metrics: the registry of the process, what every RPC counts, and /metrics on a port of its own.

A component declares its metrics beside the code that counts:

    PHANTOMS = Counter("oavc_asr_phantoms_total", "Transcripts held back.", registry=metrics.REGISTRY)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

REGISTRY: CollectorRegistry = PROCESS_REGISTRY

# From a cached phrase to a long stream.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LABELS = ("service", "method")


class RpcMetrics:
    """Count, duration and number in flight of the RPCs a server answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter("oavc_rpc_total", "RPCs answered.", (*_LABELS, "code"), registry=registry)
        self._seconds = Histogram(
            "oavc_rpc_duration_seconds",
            "Time from an RPC's begin to its end.",
            _LABELS,
            registry=registry,
            buckets=_SECONDS,
        )
        self._in_flight = Gauge("oavc_rpc_in_flight", "RPCs being answered.", _LABELS, registry=registry)

    @contextlib.contextmanager
    def measure(self, service: str, method: str) -> Iterator[RpcOutcome]:
        outcome = RpcOutcome()
        started_s = time.monotonic()
        in_flight = self._in_flight.labels(service, method)
        in_flight.inc()
        try:
            yield outcome
        finally:
            in_flight.dec()
            self._seconds.labels(service, method).observe(time.monotonic() - started_s)
            self._total.labels(service, method, outcome.code).inc()


class RpcOutcome:
    """The gRPC status name that an RPC ended with, such as "OK"."""

    code = "OK"


class MetricsServer:
    """GET /metrics on a port of its own, answered by a thread of its own."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
        """Raises OSError if the port cannot be bound. Port 0 takes any free one."""
        self._server, self._thread = start_http_server(port, host, registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_process_rpc_metrics: RpcMetrics | None = None


def process_rpc_metrics() -> RpcMetrics:
    """Those of the process' registry, where a name can be registered only once."""
    global _process_rpc_metrics
    if _process_rpc_metrics is None:
        _process_rpc_metrics = RpcMetrics(REGISTRY)
    return _process_rpc_metrics
