"""A service behind a real server on a free port of this machine, for tests."""

import contextlib
from collections.abc import AsyncIterator

import grpc
from prometheus_client import CollectorRegistry

from services.common.grpc_server import GrpcServer, ServerSettings, Service
from services.common.lifecycle import Lifecycle
from services.common.metrics import RpcMetrics
from services.common.model_errors import ModelBroken, ModelMissing


@contextlib.asynccontextmanager
async def running_server(
    service: Service,
    *,
    lifecycle: Lifecycle | None = None,
    settings: ServerSettings | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service, loaded. With a model missing or broken it is up and not ready, as in production."""
    async with (
        serving(service, lifecycle=lifecycle, settings=settings, registry=registry) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield channel


@contextlib.asynccontextmanager
async def serving(
    service: Service,
    *,
    lifecycle: Lifecycle | None = None,
    settings: ServerSettings | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[GrpcServer]:
    """The server itself, for tests that need its port or its end."""
    lifecycle = lifecycle or Lifecycle()
    settings = settings or ServerSettings(host="127.0.0.1", drain_timeout_s=2.0)
    server = GrpcServer(service, settings, lifecycle, RpcMetrics(registry or CollectorRegistry()))
    await server.start()
    try:
        try:
            await service.load()
            lifecycle.ready()
        except (ModelMissing, ModelBroken) as error:
            lifecycle.not_ready(error.reason, error.action)
        yield server
    finally:
        await server.stop()
        await service.close()
