"""Status codes, retries, and whether a service counts as ready."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers import service_channel
from core.providers.service_channel import ServiceChannel, channel_options, provider_error, target
from core.providers.settings import LlmSettings
from tests.contract.backend import Backend, Health, free_port, until


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", ProviderUnavailable),
        ("RESOURCE_EXHAUSTED", ProviderUnavailable),
        ("ABORTED", ProviderUnavailable),
        ("FAILED_PRECONDITION", ProviderUnavailable),
        ("DEADLINE_EXCEEDED", ProviderTimeout),
        ("INVALID_ARGUMENT", ProviderRejected),
        ("UNIMPLEMENTED", ProviderRejected),
        ("NOT_FOUND", ProviderRejected),
        ("OUT_OF_RANGE", ProviderRejected),
        ("PERMISSION_DENIED", ProviderRejected),
        ("UNAUTHENTICATED", ProviderRejected),
        ("INTERNAL", ProviderUnavailable),
        ("UNKNOWN", ProviderUnavailable),
        ("DATA_LOSS", ProviderUnavailable),
    ],
)
@pytest.mark.parametrize("details", ["the reason", None])
def test_each_status_is_an_error_of_ours(status: str, kind: type[ProviderError], details: str | None) -> None:
    empty = grpc.aio.Metadata()
    rpc_error = grpc.aio.AioRpcError(grpc.StatusCode[status], empty, empty, details)
    error = provider_error("grpc", rpc_error)
    assert type(error) is kind
    assert error.provider == "grpc"
    assert str(error) == f"grpc: {status}: {details or 'no details'}"
    assert error.retryable is (kind is not ProviderRejected)


def service_config(max_retries: int) -> Any:
    [method] = json.loads(dict(channel_options(max_retries))["grpc.service_config"])["methodConfig"]
    return method


@pytest.mark.parametrize(("max_retries", "attempts"), [(1, 2), (3, 4), (4, 5), (10, 5)])
def test_retries_are_counted_as_grpc_counts_them(max_retries: int, attempts: int) -> None:
    method = service_config(max_retries)
    assert method["name"] == [{}]
    assert method["retryPolicy"]["maxAttempts"] == attempts
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_no_retries_is_no_policy() -> None:
    assert service_config(0) == {"name": [{}]}


def test_a_service_that_returns_is_found_soon() -> None:
    assert dict(channel_options(3))["grpc.max_reconnect_backoff_ms"] <= 1000


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("asr", "asr:1"), ("::1", "[::1]:1"), ("[::1]", "[::1]:1"), ("dns:///asr", "dns:///asr:1")],
)
def test_an_address_of_either_family_is_reached(host: str, wanted: str) -> None:
    assert target(host, 1) == wanted


Watch = Callable[[Backend], ServiceChannel]


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    monkeypatch.setattr(service_channel, "WATCH_RETRY_S", 0.02)
    before = asyncio.all_tasks()
    opened: list[tuple[ServiceChannel, Backend]] = []

    def start(backend: Backend) -> ServiceChannel:
        channel = ServiceChannel("llm", LlmSettings(host="127.0.0.1", port=backend.port))
        opened.append((channel, backend))
        channel.start()
        return channel

    yield start
    for channel, backend in opened:
        await channel.close()
        await backend.die()
    assert not [task for task in asyncio.all_tasks() - before if task.get_name().startswith("health:")]


async def test_readiness_follows_the_service(watch: Watch) -> None:
    backend = Backend()
    backend.health = {"readiness": Health.NOT_SERVING, "": Health.SERVING}
    await backend.start()
    channel = watch(backend)
    assert not channel.ready
    backend.health = {"readiness": Health.SERVING, "": Health.SERVING}
    await until(lambda: channel.ready)
    backend.health = {"readiness": Health.NOT_SERVING, "": Health.SERVING}
    await until(lambda: not channel.ready)


async def test_a_proxy_for_what_is_outside_is_not_asked_for_services(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    backend = Backend()
    await backend.start()
    channel = watch(backend)
    await until(lambda: channel.ready)


async def test_a_service_that_dies_is_not_ready_until_it_returns(watch: Watch) -> None:
    backend = Backend()
    await backend.start()
    channel = watch(backend)
    await until(lambda: channel.ready)
    await backend.die()
    await until(lambda: not channel.ready)
    await backend.start()
    await until(lambda: channel.ready)


async def test_a_server_without_the_health_protocol_is_ready_while_it_is_reached(watch: Watch) -> None:
    backend = Backend()
    backend.health = None
    await backend.start()
    channel = watch(backend)
    await until(lambda: channel.ready)
    await backend.die()
    await until(lambda: not channel.ready)
    await backend.start()
    await until(lambda: channel.ready)


async def test_a_server_that_knows_only_its_overall_health_is_asked_for_that(watch: Watch) -> None:
    backend = Backend()
    backend.health = {"": Health.SERVING}
    await backend.start()
    channel = watch(backend)
    await until(lambda: channel.ready)
    backend.health = {"": Health.NOT_SERVING}
    await until(lambda: not channel.ready)


async def test_a_channel_that_was_never_started_closes() -> None:
    await ServiceChannel("llm", LlmSettings(host="127.0.0.1", port=1)).close()
