"""Spans of calls and turns."""

import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.observability import spans
from core.observability.call_record import TurnRecord


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("core"))
    return exporter


def test_a_turn_is_a_span_within_its_call(exported: InMemorySpanExporter) -> None:
    now_s = time.monotonic()
    turn = TurnRecord(
        heard="a secret", source="knowledge", silent_since_s=now_s - 0.5, decided_s=now_s - 0.1, started_s=now_s
    )

    with spans.call_span("c1", "opensips"):
        spans.record_turn(turn)

    recorded, call = exported.get_finished_spans()
    assert recorded.parent is not None
    assert recorded.parent.span_id == call.context.span_id
    assert recorded.end_time is not None
    assert recorded.start_time is not None
    assert (recorded.end_time - recorded.start_time) / 1e9 == pytest.approx(0.5, abs=0.001)
    assert [event.name for event in recorded.events] == ["decided"]
    assert "secret" not in recorded.to_json()


def test_what_the_agent_says_of_its_own_accord_is_no_turn(exported: InMemorySpanExporter) -> None:
    spans.record_turn(TurnRecord(said="Hello."))

    assert exported.get_finished_spans() == ()
