"""Tracing costs nothing and imports nothing unless an endpoint is configured."""

import contextvars
import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import correlation, tracing
from services.common.settings import ConfigurationError, load
from services.common.tracing import TracingSettings, configure_tracing


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    """A server's span stays current in its task, which here is every test's."""
    token = context.attach(context.get_current())
    yield
    context.detach(token)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_it_is_off_unless_an_endpoint_is_set() -> None:
    program = (
        "import sys\n"
        "from services.common.tracing import TracingSettings, configure_tracing\n"
        "configure_tracing(TracingSettings(), 'asr-service')()\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc"])
def test_an_endpoint_without_the_exporter_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def find_spec(name: str) -> object | None:
        if name == missing:
            raise ModuleNotFoundError(name)
        return object()

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(ConfigurationError, match=r"not installed: uv sync --extra tracing"):
        configure_tracing(TracingSettings(otlp_endpoint="http://127.0.0.1:4317"), "asr-service")


def test_the_usual_environment_names_are_taken() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OAVC_TRACE_SAMPLE_RATIO": "0.1"}
    assert load([TracingSettings], {}, environ)[TracingSettings] == TracingSettings(
        otlp_endpoint="http://collector:4317", sample_ratio=0.1
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
def test_with_an_endpoint_spans_are_recorded(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    providers: list[trace.TracerProvider] = []
    # A process can set it once only.
    monkeypatch.setattr(trace, "set_tracer_provider", providers.append)
    end = configure_tracing(TracingSettings(otlp_endpoint=endpoint), "asr-service")
    (provider,) = providers
    assert isinstance(provider, TracerProvider)
    assert provider.resource.attributes["service.name"] == "asr-service"
    assert provider.get_tracer("x").start_span("x").is_recording()
    end()


def test_a_servers_span_hangs_under_the_clients(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("client").start_as_current_span("client"):
        metadata = correlation.call_metadata()
    with tracing.server_span("/test.Echo/Echo", metadata):
        pass
    client, server = spans.get_finished_spans()
    assert server.name == "test.Echo/Echo"
    assert server.parent is not None
    assert client.context is not None
    assert server.parent.span_id == client.context.span_id


def test_a_span_closed_in_another_context_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    span = tracing.server_span("/package.Service/Method", [])
    contextvars.copy_context().run(span.__enter__)

    contextvars.copy_context().run(span.__exit__, None, None, None)

    assert caplog.records == []
