"""grpc.health.v1, where a refusal says in its trailing metadata why, and what helps.

Names: "liveness" is SERVING as long as the process runs; "", "readiness" and each service's full name follow
whether new work is taken.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.lifecycle import Lifecycle, State

LIVENESS = "liveness"
READINESS = "readiness"
REASON_METADATA_KEY = "x-health-reason"
ACTION_METADATA_KEY = "x-health-action"

_Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers from the lifecycle."""

    def __init__(self, lifecycle: Lifecycle, services: Iterable[str]) -> None:
        self._lifecycle = lifecycle
        self._names = frozenset({"", LIVENESS, READINESS, *services})
        self._changed = asyncio.Event()
        lifecycle.on_change(self._wake)

    def status(self, service: str) -> "int":
        if service not in self._names:
            return _Status.SERVICE_UNKNOWN
        alive = self._lifecycle.state is not State.STOPPED
        up = alive if service == LIVENESS else self._lifecycle.readiness.ready
        return _Status.SERVING if up else _Status.NOT_SERVING

    async def Check(  # noqa: N802  gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]",
    ) -> health_pb2.HealthCheckResponse:
        status = self.status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            known = ", ".join(repr(name) for name in sorted(self._names))
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here, only {known}")
        if status == _Status.NOT_SERVING:
            context.set_trailing_metadata(refusal_metadata(self._lifecycle))
        return _Status(status=status)

    async def Watch(  # noqa: N802  gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        _context: "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]",
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last: int | None = None
        while True:
            changed = self._changed
            status = self.status(request.service)
            if status != last:
                last = status
                yield _Status(status=status)
            if self._lifecycle.state is State.STOPPED:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def refusal_metadata(lifecycle: Lifecycle) -> tuple[tuple[str, str], ...]:
    """Why no work is taken, and what helps, as metadata."""
    readiness = lifecycle.readiness
    pairs = ((REASON_METADATA_KEY, readiness.reason), (ACTION_METADATA_KEY, readiness.action))
    return tuple((name, _ascii(value)) for name, value in pairs if value)


def _ascii(text: str) -> str:
    """Metadata holds printable ASCII only."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.encode("ascii", "backslashreplace").decode("ascii")
