"""OpenTelemetry traces over OTLP; nothing is imported or sent unless an endpoint is configured."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator

from opentelemetry import context, propagate, trace

from services.common.setting_errors import ConfigurationError
from services.common.settings import Section, key

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc")


class TracingSettings(Section):
    section = "tracing"

    otlp_endpoint: str | None = key(
        None,
        env=("OAVC_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        help="Where spans are sent over OTLP/gRPC, such as http://localhost:4317. Unset: no tracing.",
    )
    sample_ratio: float = key(
        1.0, env="OAVC_TRACE_SAMPLE_RATIO", help="Share of the calls that are traced.", ge=0.0, le=1.0
    )


def configure_tracing(settings: TracingSettings, service_name: str) -> Callable[[], None]:
    """Sends this process' spans to the endpoint, if one is set; the result flushes and ends the exporter.

    Raises:
        ConfigurationError: an endpoint is set but the extra `tracing` is not installed.
    """
    if settings.otlp_endpoint is None:
        return lambda: None
    if not all(_is_installed(name) for name in _NEEDED):
        problem = "tracing.otlp_endpoint is set but the exporter is not installed: uv sync --extra tracing"
        raise ConfigurationError([problem])
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
        resource=Resource.create({"service.name": service_name}),
    )
    insecure = not settings.otlp_endpoint.startswith("https://")
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=insecure))
    )
    trace.set_tracer_provider(provider)
    return provider.shutdown


@contextlib.contextmanager
def server_span(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[None]:
    """A span for an RPC, under the client's; costs next to nothing while tracing is off.

    Enter it in the RPC's own task: the span stays that task's current one.
    """
    carrier = {name: value for name, value in metadata if isinstance(value, str)}
    tracer = trace.get_tracer(__name__)
    span = tracer.start_span(method.lstrip("/"), context=propagate.extract(carrier), kind=trace.SpanKind.SERVER)
    # Never detached: a stream that is closed early unwinds in another context, where detaching fails.
    context.attach(trace.set_span_in_context(span))
    try:
        yield
    except Exception as error:
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, str(error))
        raise
    finally:
        span.end()


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # Of a package that this one would lie in.
        return False
