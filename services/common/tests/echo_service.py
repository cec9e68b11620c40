"""A service of bytes, for tests of what every service gets: no schema, each kind of RPC, and a few that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from services.common import correlation

NAME = "test.Echo"


class EchoService:
    """Answers in bytes. `hold` keeps Hold from answering; `failure` is what `load` raises."""

    name = "echo-service"

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.hold = asyncio.Event()
        self.holding = asyncio.Event()
        self.loads = 0
        self.loaded_thrice = asyncio.Event()
        self.closed = False
        self.cancelled = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        handlers: dict[str, Any] = {
            "Echo": grpc.unary_unary_rpc_method_handler(self._echo),
            "HealthCheck": grpc.unary_unary_rpc_method_handler(self._echo),
            "Hold": grpc.unary_unary_rpc_method_handler(self._hold),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Refuse": grpc.unary_unary_rpc_method_handler(self._refuse),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Join": grpc.stream_unary_rpc_method_handler(self._join),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
        return [NAME]

    async def load(self) -> None:
        self.loads += 1
        if self.loads == 3:
            self.loaded_thrice.set()
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed = True

    async def _echo(self, request: bytes, context: Any) -> bytes:
        return correlation.call_id.get().encode() + b":" + request

    async def _hold(self, request: bytes, context: Any) -> bytes:
        self.holding.set()
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def _fail(self, request: bytes, context: Any) -> bytes:
        raise ZeroDivisionError("a bug")

    async def _refuse(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        return b""

    async def _count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()

    async def _join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([each async for each in requests])

    async def _chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for each in requests:
            yield correlation.call_id.get().encode() + b":" + each


async def call(channel: grpc.aio.Channel, method: str, request: bytes = b"x", **options: Any) -> bytes:
    """One unary RPC of the service."""
    rpc: Any = channel.unary_unary(f"/{NAME}/{method}")
    answer: bytes = await rpc(request, timeout=5, **options)
    return answer
