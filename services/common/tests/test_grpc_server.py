"""A server answers only while it is ready, and lets what runs finish before it ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from services.common import grpc_server
from services.common.correlation import CALL_ID_METADATA_KEY
from services.common.grpc_server import GrpcServer, ServerSettings, server_settings
from services.common.health import ACTION_METADATA_KEY, REASON_METADATA_KEY
from services.common.lifecycle import Lifecycle
from services.common.metrics import RpcMetrics
from services.common.model_errors import ModelMissing
from services.common.settings import load
from services.common.testing import running_server, serving
from services.common.tests.echo_service import NAME, EchoService, call


@pytest.fixture
async def service() -> EchoService:
    return EchoService()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def channel(service: EchoService, registry: CollectorRegistry) -> AsyncIterator[grpc.aio.Channel]:
    async with running_server(service, registry=registry) as channel:
        yield channel


async def test_each_kind_of_rpc_is_answered(channel: grpc.aio.Channel) -> None:
    count: Any = channel.unary_stream(f"/{NAME}/Count")
    join: Any = channel.stream_unary(f"/{NAME}/Join")
    chat: Any = channel.stream_stream(f"/{NAME}/Chat")
    assert await call(channel, "Echo", b"hello") == b":hello"
    assert [each async for each in count(b"3", timeout=5)] == [b"0", b"1", b"2"]
    assert await join(iter([b"a", b"b"]), timeout=5) == b"ab"
    assert [each async for each in chat(iter([b"a", b"b"]), timeout=5)] == [b":a", b":b"]


async def test_the_call_id_is_the_clients_and_stays_with_its_rpc(channel: grpc.aio.Channel) -> None:
    chat: Any = channel.stream_stream(f"/{NAME}/Chat")
    metadata = ((CALL_ID_METADATA_KEY, "call-7"),)
    assert await call(channel, "Echo", metadata=metadata) == b"call-7:x"
    assert [each async for each in chat(iter([b"a"]), timeout=5, metadata=metadata)] == [b"call-7:a"]
    assert await call(channel, "Echo") == b":x"


async def test_what_is_served_can_be_asked_for(channel: grpc.aio.Channel) -> None:
    stub_class: Any = reflection_pb2_grpc.ServerReflectionStub
    stub = stub_class(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (response,) = [each async for each in stub.ServerReflectionInfo(requests, timeout=5)]
    names = {service.name for service in response.list_services_response.service}
    assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_rpcs_are_counted_by_outcome(channel: grpc.aio.Channel, registry: CollectorRegistry) -> None:
    count: Any = channel.unary_stream(f"/{NAME}/Count")

    def total(method: str, code: str) -> float | None:
        return registry.get_sample_value("oavc_rpc_total", {"service": NAME, "method": method, "code": code})

    await call(channel, "Echo")
    await call(channel, "Echo")
    async for _ in count(b"2", timeout=5):
        pass
    for method, code in (("Refuse", "INVALID_ARGUMENT"), ("Fail", "UNKNOWN")):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel, method)
        assert error.value.code().name == code
        assert total(method, code) == 1
    assert (total("Echo", "OK"), total("Count", "OK")) == (2, 1)
    labels = {"service": NAME, "method": "Echo"}
    assert registry.get_sample_value("oavc_rpc_duration_seconds_count", labels) == 2
    assert registry.get_sample_value("oavc_rpc_in_flight", labels) == 0


async def test_a_cancelled_rpc_is_cancelled_in_the_service_and_counted(
    channel: grpc.aio.Channel, service: EchoService, registry: CollectorRegistry
) -> None:
    hold: Any = channel.unary_unary(f"/{NAME}/Hold")
    running = hold(b"x")
    await asyncio.wait_for(service.holding.wait(), 5)
    labels = {"service": NAME, "method": "Hold"}
    assert registry.get_sample_value("oavc_rpc_in_flight", labels) == 1
    running.cancel()
    await asyncio.wait_for(service.cancelled.wait(), 5)
    assert registry.get_sample_value("oavc_rpc_total", {**labels, "code": "CANCELLED"}) == 1


async def test_without_its_model_a_service_refuses_work_and_says_how_to_get_it() -> None:
    missing = ModelMissing(Path("models/x"), "oavc models fetch x")
    async with running_server(EchoService(missing)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel, "Echo")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error.value.details() == "model missing: models/x; get it with: oavc models fetch x"
        assert dict(error.value.trailing_metadata()) == {
            REASON_METADATA_KEY: "model missing: models/x",
            ACTION_METADATA_KEY: "get it with: oavc models fetch x",
        }
        # About the service, not work for it.
        assert await call(channel, "HealthCheck") == b":x"


async def test_an_rpc_of_another_name_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(channel, "NoSuchMethod")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_drain_lets_running_rpcs_finish_and_refuses_new_ones(service: EchoService) -> None:
    lifecycle = Lifecycle()
    settings = ServerSettings(drain_timeout_s=30)
    async with (
        serving(service, lifecycle=lifecycle, settings=settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        hold: Any = channel.unary_unary(f"/{NAME}/Hold")
        running = asyncio.ensure_future(hold(b"kept", timeout=10))
        await asyncio.wait_for(service.holding.wait(), 5)
        assert server.in_flight == 1
        lifecycle.request_stop("test")
        stopping = asyncio.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel, "Echo")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error.value.details() == "shutting down"
        assert not stopping.done()
        service.hold.set()
        assert await running == b"kept"
        await asyncio.wait_for(stopping, 5)


@pytest.mark.parametrize("forced", [False, True])
async def test_a_drain_is_cut_off_at_its_time_or_by_force(service: EchoService, forced: bool) -> None:
    lifecycle = Lifecycle()
    settings = ServerSettings(drain_timeout_s=60 if forced else 0)
    async with (
        serving(service, lifecycle=lifecycle, settings=settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        hold: Any = channel.unary_unary(f"/{NAME}/Hold")
        running = asyncio.ensure_future(hold(b"lost", timeout=10))
        await asyncio.wait_for(service.holding.wait(), 5)
        lifecycle.request_stop("first")
        if forced:
            lifecycle.request_stop("second")
        await asyncio.wait_for(server.stop(), 5)
        with pytest.raises(grpc.aio.AioRpcError):
            await running
        assert service.cancelled.is_set()


class SilentNetwork:
    """A way to a server on which, once `silent`, nothing arrives any more: no byte, no end, no refusal."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.silent = False

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, server_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(reader, server_writer))
            group.create_task(self._carry(server_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            if not self.silent:
                writer.write(data)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def test_a_client_that_vanished_without_a_word_is_let_go(
    service: EchoService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_PEER_ASKED_AFTER_S", 0.1)
    monkeypatch.setattr(grpc_server, "_PEER_ANSWERS_WITHIN_S", 1.0)
    async with serving(service) as server:
        network = SilentNetwork(server.port)
        proxy = await asyncio.start_server(network.connect, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        with contextlib.closing(proxy), contextlib.closing(network):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                hold: Any = channel.unary_unary(f"/{NAME}/Hold")
                running = asyncio.ensure_future(hold(b"x", timeout=20))
                await asyncio.wait_for(service.holding.wait(), 5)
                # A client that is there and only waits is asked again and again, and kept.
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(service.cancelled.wait(), 0.7)
                network.silent = True
                await asyncio.wait_for(service.cancelled.wait(), 10)
                running.cancel()


async def test_a_port_in_use_is_an_error(service: EchoService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(port=taken.getsockname()[1])
        server = GrpcServer(service, settings, Lifecycle(), RpcMetrics(CollectorRegistry()))
        with pytest.raises(OSError, match="is another process using the port"):
            await server.start()
    await server.stop()


async def test_two_servers_never_share_a_port(service: EchoService) -> None:
    async with serving(service) as first:
        settings = ServerSettings(port=first.port)
        second = GrpcServer(service, settings, Lifecycle(), RpcMetrics(CollectorRegistry()))
        with pytest.raises(OSError, match="cannot listen"):
            await second.start()


async def test_a_message_beyond_the_limit_is_refused(service: EchoService) -> None:
    async with running_server(service, settings=ServerSettings(message_size_max_bytes=4096)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel, "Echo", bytes(5000))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_ipv6_addresses_are_bracketed(service: EchoService) -> None:
    async with (
        serving(service, settings=ServerSettings(host="::1")) as server,
        grpc.aio.insecure_channel(f"[::1]:{server.port}") as channel,
    ):
        assert await call(channel, "Echo") == b":x"


def test_each_service_has_its_own_names_of_settings() -> None:
    asr, llm = server_settings("asr", 50051), server_settings("llm", 50052)
    assert server_settings("asr", 50051) is asr
    environ = {"ASR_SERVICE_PORT": "1", "LLM_BIND_IP": "127.0.0.1", "ASR_ENABLE_DEBUG": "true"}
    loaded = load([asr, llm], {"llm": {"port": "50099", "host": "llm-service", "timeout": "30"}}, environ, ignore={"*"})
    assert (loaded[asr].port, loaded[asr].debug) == (1, True)
    # Where core is told to find the service, there it listens.
    assert (loaded[llm].port, loaded[llm].host) == (50099, "127.0.0.1")
