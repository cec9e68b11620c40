"""A gRPC server in this process that can die, return on its port, and have or lack the health protocol."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

WAIT_S = 10.0
Health = health_pb2.HealthCheckResponse


class Backend:
    """Serves from `start` to `die`, as often as wanted, always on the same port.

    Attributes:
        health: status by the name that is asked for; None is a server without the health protocol.
    """

    def __init__(self, register: Callable[[grpc.aio.Server], object] = lambda _server: None) -> None:
        self._register = register
        self._server: grpc.aio.Server | None = None
        self._health_changed = asyncio.Event()
        self._health: dict[str, int] | None = {"": Health.SERVING, "readiness": Health.SERVING}
        self.port = 0

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._register(server)
        if self._health is not None:
            health_pb2_grpc.add_HealthServicer_to_server(_HealthServicer(self), server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def die(self) -> None:
        """Cuts every connection off at once."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    @property
    def health(self) -> dict[str, int] | None:
        return self._health

    @health.setter
    def health(self, statuses: dict[str, int] | None) -> None:
        self._health = statuses
        self._health_changed.set()
        self._health_changed = asyncio.Event()

    async def health_changed(self) -> None:
        await self._health_changed.wait()


class _HealthServicer(health_pb2_grpc.HealthServicer):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Watch(self, request: health_pb2.HealthCheckRequest, _context: Any) -> Any:  # noqa: N802  gRPC's name
        while True:
            yield Health(status=(self._backend.health or {}).get(request.service, Health.SERVICE_UNKNOWN))
            await self._backend.health_changed()


async def until(condition: Callable[[], object]) -> None:
    """Waits for what happens at the other end of the connection."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port on which connections are made, and never answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


async def leave(pieces: AsyncGenerator[Any, None], how: str) -> None:
    """Stops reading pieces of which some may still come, as whoever reads them may: by "close" or by "cancel"."""
    if how == "close":
        await asyncio.wait_for(pieces.aclose(), WAIT_S)
    else:
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
