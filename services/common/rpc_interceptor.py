"""One layer around every RPC of a service: its call id, its span, its metrics, and whether it is let in."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from services.common import correlation, tracing
from services.common.health import refusal_metadata
from services.common.in_flight import InFlight
from services.common.lifecycle import Lifecycle
from services.common.metrics import RpcMetrics, RpcOutcome

# They are about the service, not work for it, and so are answered whatever its state.
ALWAYS_ANSWERED = frozenset({"HealthCheck", "GetStats"})
_UNCOUNTED_PREFIX = "/grpc."

if TYPE_CHECKING:
    # The classes themselves take no arguments; only their types do.
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Context = grpc.aio.ServicerContext[Any, Any]


class RpcInterceptor(grpc.aio.ServerInterceptor):
    """Health and reflection pass untouched; an RPC of the service itself begins only if the process is ready."""

    def __init__(self, lifecycle: Lifecycle, in_flight: InFlight, metrics: RpcMetrics) -> None:
        self._lifecycle = lifecycle
        self._in_flight = in_flight
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or path.startswith(_UNCOUNTED_PREFIX):
            return handler
        return _wrap(handler, path, self)

    async def admit(self, path: str, context: _Context) -> None:
        """Aborts with UNAVAILABLE, which a client may retry elsewhere."""
        readiness = self._lifecycle.readiness
        if readiness.ready or path.rpartition("/")[2] in ALWAYS_ANSWERED:
            return
        context.set_trailing_metadata(refusal_metadata(self._lifecycle))
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(readiness))

    @contextlib.contextmanager
    def scope(self, path: str, context: _Context) -> Iterator[None]:
        metadata = tuple((str(name), value) for name, value in context.invocation_metadata() or ())
        # Each RPC is a task of its own, so that nothing has to be put back.
        correlation.adopt_call_id(metadata)
        _, service, method = path.split("/", 2)
        with (
            self._in_flight.counted(),
            tracing.server_span(path, metadata),
            self._metrics.measure(service, method) as outcome,
        ):
            try:
                yield
            except BaseException as error:
                outcome.code = _code(context, error)
                raise
            _note_code(outcome, context)


def _wrap(handler: _Handler, path: str, around: RpcInterceptor) -> _Handler:
    """The same handler with the interceptor's scope around it. A synchronous servicer is left as it is."""
    for kind, factory in _FACTORIES.items():
        behaviour = getattr(handler, kind)
        if behaviour is None:
            continue
        if inspect.isasyncgenfunction(behaviour):
            wrapped: Callable[..., Any] = _around_generator(behaviour, path, around)
        elif inspect.iscoroutinefunction(behaviour):
            wrapped = _around_coroutine(behaviour, path, around)
        else:
            return handler
        return factory(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    return handler


_FACTORIES: dict[str, Callable[..., _Handler]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


def _around_coroutine(
    behaviour: Callable[[Any, _Context], Awaitable[Any]], path: str, around: RpcInterceptor
) -> Callable[[Any, _Context], Awaitable[Any]]:
    async def answer(request: Any, context: _Context) -> Any:
        with around.scope(path, context):
            await around.admit(path, context)
            return await behaviour(request, context)

    return answer


def _around_generator(
    behaviour: Callable[[Any, _Context], Any], path: str, around: RpcInterceptor
) -> Callable[[Any, _Context], AsyncIterator[Any]]:
    async def answer(request: Any, context: _Context) -> AsyncIterator[Any]:
        with around.scope(path, context):
            await around.admit(path, context)
            async with contextlib.aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response

    return answer


def _code(context: _Context, error: BaseException) -> str:
    if isinstance(error, grpc.aio.AbortError):
        return _name(context.code()) or "UNKNOWN"
    if isinstance(error, Exception):
        return "UNKNOWN"
    return "CANCELLED"


def _note_code(outcome: RpcOutcome, context: _Context) -> None:
    outcome.code = _name(context.code()) or "OK"


def _name(code: object) -> str:
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((each.name for each in grpc.StatusCode if each.value[0] == code), "")
