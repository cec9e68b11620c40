"""The gRPC server of a service: health, reflection, admission, and an end that lets RPCs finish."""

import functools
import logging
from collections.abc import Sequence
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.health import HealthServicer
from services.common.in_flight import InFlight
from services.common.lifecycle import Lifecycle
from services.common.metrics import RpcMetrics, process_rpc_metrics
from services.common.rpc_interceptor import RpcInterceptor
from services.common.settings import Section, key

log = logging.getLogger(__name__)

# After the drain: for the last bytes of finished RPCs, and for health watchers to read the end.
_CLOSE_GRACE_S = 0.5
# A client whose machine or network is gone says no goodbye: it is asked for, and its RPCs end when it does not answer.
_PEER_ASKED_AFTER_S = 20.0
_PEER_ANSWERS_WITHIN_S = 10.0


class Service(Protocol):
    """What a service is to its process.

    Attributes:
        name: such as "asr-service".
    """

    name: str

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Adds its servicer; gives the full names of its gRPC services."""
        ...

    async def load(self) -> None:
        """Loads its weights, off the loop. Called again after a failure.

        Raises:
            ModelMissing: no such file; the process stays up, not ready, and says how to get it.
            ModelBroken: the file is there but cannot be used; the process stays up, not ready.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds. Called once, after its last RPC ended."""
        ...


class ServerSettings(Section):
    """What every service can set; `server_settings` gives the class of one service, with its names."""

    section = "server"

    host: str = "127.0.0.1"
    port: int = 0
    drain_timeout_s: float = 30.0
    message_size_max_bytes: int = 16 * 1024 * 1024
    metrics_port: int | None = None
    debug: bool = False


@functools.cache
def server_settings(name: str, default_port: int) -> type[ServerSettings]:
    """For "asr": the section `[asr_service]`, with environment names that begin with ASR_."""
    env = name.upper()

    class NamedServerSettings(ServerSettings):
        section = f"{name}_service"

        host: str = key("0.0.0.0", env=f"{env}_BIND_IP", help="Address to listen on.")
        port: int = key(
            default_port,
            env=f"{env}_SERVICE_PORT",
            # Where core is told to find the service, there it listens.
            aliases=(f"{name}.port",),
            help="TCP port to listen on; 0 takes any free one.",
            ge=0,
            le=65535,
        )
        drain_timeout_s: float = key(
            30.0,
            env=f"{env}_DRAIN_TIMEOUT_S",
            unit="s",
            help="RPCs that still run so long after SIGTERM are cut off.",
            ge=0,
        )
        message_size_max_bytes: int = key(
            16 * 1024 * 1024,
            env=f"{env}_MESSAGE_SIZE_MAX_BYTES",
            unit="bytes",
            help="Longer requests are refused.",
            ge=4096,
        )
        metrics_port: int | None = key(
            None,
            env=f"{env}_METRICS_PORT",
            help="Serve /metrics over HTTP on this port. Unset: not served.",
            ge=0,
            le=65535,
        )
        debug: bool = key(False, env=f"{env}_ENABLE_DEBUG", help="Log everything, whatever the level.")

    return NamedServerSettings


class GrpcServer:
    """Listens from `start` on; what it answers is the lifecycle's to say."""

    def __init__(
        self,
        service: Service,
        settings: ServerSettings,
        lifecycle: Lifecycle,
        metrics: RpcMetrics | None = None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._in_flight = InFlight()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def in_flight(self) -> int:
        """How many of the service's RPCs are being answered."""
        return self._in_flight.count

    async def start(self) -> int:
        """The bound port.

        Raises:
            OSError: the port cannot be had.
        """
        server = grpc.aio.server(
            interceptors=[RpcInterceptor(self._lifecycle, self._in_flight, self._metrics or process_rpc_metrics())],
            options=[
                # Two processes on one port would share the calls by chance.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._settings.message_size_max_bytes),
                ("grpc.max_send_message_length", -1),
                # Core pings its channels to notice a dead peer soon.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
                ("grpc.keepalive_time_ms", round(_PEER_ASKED_AFTER_S * 1000)),
                # gRPC 1.81 heeds only the second of the two, which is a minute unless set.
                ("grpc.keepalive_timeout_ms", round(_PEER_ANSWERS_WITHIN_S * 1000)),
                ("grpc.http2.ping_timeout_ms", round(_PEER_ANSWERS_WITHIN_S * 1000)),
                # As often as it takes: a stream may wait for long without a word from the service.
                ("grpc.http2.max_pings_without_data", 0),
            ],
        )
        names = tuple(self._service.register(server))
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(self._lifecycle, names), server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection((*names, health_name, reflection.SERVICE_NAME), server)
        address = f"{_bracketed(self._settings.host)}:{self._settings.port}"
        try:
            self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: is another process using the port?") from error
        await server.start()
        self._server = server
        return self.port

    async def stop(self) -> None:
        """Refuses new RPCs, lets those that run finish, up to `drain_timeout_s` or a second signal, then closes."""
        if self._server is None:
            return
        server, self._server = self._server, None
        if not self._lifecycle.draining.is_set():
            self._lifecycle.request_stop("server stopped")
        finished = await self._lifecycle.drain(self._in_flight.idle(), timeout_s=self._settings.drain_timeout_s)
        if not finished:
            log.warning("drain cut off", extra={"rpcs": self._in_flight.count})
        self._lifecycle.stopped()
        await server.stop(_CLOSE_GRACE_S if finished else 0)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
