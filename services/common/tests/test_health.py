"""Draining flips readiness, never liveness."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.lifecycle import Lifecycle
from services.common.testing import serving
from services.common.tests.echo_service import NAME, EchoService

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READINESS_LIKE = ("", "readiness", NAME)


@pytest.fixture
async def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
async def health(lifecycle: Lifecycle) -> AsyncIterator[Any]:
    async with (
        serving(EchoService(), lifecycle=lifecycle) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield health_pb2_grpc.HealthStub(channel)


async def statuses(health: Any) -> dict[str, int]:
    names = ("liveness", *READINESS_LIKE)
    answers = [await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5) for name in names]
    return {name: answer.status for name, answer in zip(names, answers, strict=True)}


async def test_a_loaded_service_is_alive_and_ready(health: Any) -> None:
    assert set((await statuses(health)).values()) == {SERVING}


async def test_a_draining_service_is_alive_and_not_ready(health: Any, lifecycle: Lifecycle) -> None:
    lifecycle.request_stop("test")
    assert await statuses(health) == {"liveness": SERVING, **dict.fromkeys(READINESS_LIKE, NOT_SERVING)}


async def test_a_refusal_carries_its_reason_in_ascii(health: Any, lifecycle: Lifecycle) -> None:
    lifecycle.not_ready("model missing: /mödels\n/x", "get it with: oavc models fetch x")
    checking = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert (await checking).status == NOT_SERVING
    assert dict(await checking.trailing_metadata()) == {
        "x-health-reason": "model missing: /m\\xf6dels /x",
        "x-health-action": "get it with: oavc models fetch x",
    }


async def test_an_unknown_name_is_not_found_and_the_known_ones_are_listed(health: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await health.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=5)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert error.value.details() == "no service 'nope' here, only '', 'liveness', 'readiness', 'test.Echo'"


async def test_watchers_see_each_change_until_the_end(lifecycle: Lifecycle) -> None:
    lifecycle.ready()
    async with (
        serving(EchoService(), lifecycle=lifecycle) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        # Two of them, for one that leaves must not take the other's news with it.
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service=NAME), timeout=10) for _ in range(2)]
        alive = stub.Watch(health_pb2.HealthCheckRequest(service="liveness"), timeout=10)
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nope"), timeout=10)
        assert [(await watch.read()).status for watch in (*watches, alive)] == [SERVING] * 3
        assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watches[1].cancel()
        lifecycle.not_ready("reloading")
        assert (await watches[0].read()).status == NOT_SERVING
        lifecycle.ready()
        assert (await watches[0].read()).status == SERVING
        await asyncio.wait_for(server.stop(), 5)
        assert (await watches[0].read()).status == NOT_SERVING
        assert await watches[0].read() is grpc.aio.EOF
        assert (await alive.read()).status == NOT_SERVING
