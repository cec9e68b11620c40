"""One channel to one gRPC service: keepalive, retries, and whether it is ready (grpc.health.v1)."""

import asyncio
import json
import logging
from ipaddress import IPv6Address
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.settings import ServiceSettings

log = logging.getLogger(__name__)

WATCH_RETRY_S = 1.0
READINESS = "readiness"
OVERALL = ""

# gRPC status -> our errors, for all providers. What is not named is taken for a passing fault.
_STATUS_TO_ERROR: dict[grpc.StatusCode, type[ProviderError]] = {
    grpc.StatusCode.UNAVAILABLE: ProviderUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ProviderUnavailable,
    grpc.StatusCode.ABORTED: ProviderUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: ProviderTimeout,
    grpc.StatusCode.INVALID_ARGUMENT: ProviderRejected,
    grpc.StatusCode.FAILED_PRECONDITION: ProviderUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: ProviderRejected,
    grpc.StatusCode.NOT_FOUND: ProviderRejected,
    grpc.StatusCode.OUT_OF_RANGE: ProviderRejected,
    grpc.StatusCode.PERMISSION_DENIED: ProviderRejected,
    grpc.StatusCode.UNAUTHENTICATED: ProviderRejected,
}


def provider_error(provider: str, error: grpc.aio.AioRpcError) -> ProviderError:
    """Our error for a failed RPC."""
    kind = _STATUS_TO_ERROR.get(error.code(), ProviderUnavailable)
    return kind(provider, f"{error.code().name}: {error.details() or 'no details'}")


# Neither by a policy, nor what gRPC takes for not yet seen by the server.
NEVER_REPEAT = ("grpc.enable_retries", 0)


def _service_config(max_retries: int) -> str:
    policy: dict[str, Any] = {"name": [{}]}
    if max_retries:
        policy["retryPolicy"] = {
            # gRPC counts the first attempt, and takes five at the most.
            "maxAttempts": min(max_retries + 1, 5),
            "initialBackoff": "0.05s",
            "maxBackoff": "0.5s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
    return json.dumps({"methodConfig": [policy]})


def target(host: str, port: int) -> str:
    """An IPv6 address in brackets: gRPC would take its last group for the port."""
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except ValueError:
        return f"{host}:{port}"


def channel_options(max_retries: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        # What decides how long a ping may go unanswered; a minute by default.
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 2),
        # A service that comes back is found within half a second, however long it was away.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # A proxy in the environment is for what is outside, such as a language model of others; services are inside.
        ("grpc.enable_http_proxy", 0),
        # An idle connection is kept: it tells that the service is there.
        ("grpc.client_idle_timeout_ms", 2**31 - 1),
        ("grpc.service_config", _service_config(max_retries)),
    ]


class ServiceChannel:
    """A channel that knows whether its service is ready, and is used again when the service returns.

    The health watch runs from `start` to `close`.
    Without `repeats` a failed RPC is never sent again by gRPC itself, whatever the settings allow.
    """

    def __init__(self, name: str, settings: ServiceSettings, *, repeats: bool = True) -> None:
        self.name = name
        self.settings = settings
        self.ready = False
        options = channel_options(settings.max_retries) if repeats else [*channel_options(0), NEVER_REPEAT]
        self.channel = grpc.aio.insecure_channel(target(settings.host, settings.port), options=options)
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch the service's health. Needs a running loop."""
        self._watch = asyncio.get_running_loop().create_task(self._watch_health(), name=f"health:{self.name}")

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        await self.channel.close()

    async def _watch_health(self) -> None:
        while True:
            # A server of an older deployment may know no more than its overall health.
            if not await self._watch_name(READINESS):
                await self._watch_name(OVERALL)
            self._note(False)
            await asyncio.sleep(WATCH_RETRY_S)

    async def _watch_name(self, name: str) -> bool:
        """Follows it until the connection is lost; False where the server does not know the name."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        call = stub.Watch(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True)
        try:
            async for response in call:
                if response.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
                    return False
                self._note(response.status == health_pb2.HealthCheckResponse.SERVING)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                await self._stay_connected()
        finally:
            call.cancel()
        return True

    async def _stay_connected(self) -> None:
        """Of a server without the health protocol, being reached is all that can be asked."""
        while self.channel.get_state() is grpc.ChannelConnectivity.READY:
            self._note(True)
            await self.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)

    def _note(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        log.info("service is ready" if ready else "service is not ready", extra={"provider": self.name})
