"""Whether a process is ready: asked the way an orchestrator asks, and why not."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from services.common.health import ACTION_METADATA_KEY, READINESS, REASON_METADATA_KEY
from tools.caller.agent_account import AccountError, Management
from tools.oavc.child import ReadyProbe

_TIMEOUT_S = 2.0


def grpc_ready(host: str, port: int) -> ReadyProbe:
    """A probe of a service's readiness (grpc.health.v1)."""

    async def probe() -> str:
        try:
            # gRPC would wait a second before it tries a refused port again.
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _TIMEOUT_S)
            writer.close()
        except (OSError, TimeoutError):
            return f"nothing listens on {host}:{port}"
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            call = check(health_pb2.HealthCheckRequest(service=READINESS), timeout=_TIMEOUT_S)
            try:
                response = await call
            except grpc.aio.AioRpcError as error:
                return error.details() or error.code().name
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                return ""
            reasons = dict(await call.trailing_metadata() or ())
            told = (reasons.get(key) for key in (REASON_METADATA_KEY, ACTION_METADATA_KEY))
            return "; ".join(str(text) for text in told if text) or "not serving"

    return probe


def core_ready(url: str, *, for_calls: bool) -> ReadyProbe:
    """A probe of core: of its taking calls, or only of its being there."""
    management = Management(url)

    async def probe() -> str:
        try:
            reason = await management.not_ready_because()
        except AccountError as error:
            return str(error)
        return reason if for_calls else ""

    return probe
