"""One span a call and one a turn, with the turn's stages as events (OpenTelemetry; nothing unless configured)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from core.observability.call_record import TurnRecord

_tracer = trace.get_tracer("core")


@contextmanager
def call_span(call_id: str, transport: str) -> Iterator[None]:
    """What runs inside belongs to the call, on the services' side too."""
    with _tracer.start_as_current_span("call", attributes={"call_id": call_id, "transport": transport}):
        yield


def record_turn(turn: TurnRecord) -> None:
    """A span from the caller's last speech to the agent's first; its words are nobody's business here."""
    if turn.voice_to_voice_ms is None:
        return
    now_s = time.monotonic()
    offset_ns = time.time_ns() - round(now_s * 1e9)
    span = _tracer.start_span(
        "turn", start_time=offset_ns + round(turn.silent_since_s * 1e9), attributes={"source": turn.source}
    )
    for stage, done_s in (
        ("decided", turn.decided_s),
        ("recognised", turn.recognised_s),
        ("answered", turn.answered_s),
        ("synthesised", turn.synthesised_s),
    ):
        if done_s:
            span.add_event(stage, timestamp=offset_ns + round(done_s * 1e9))
    span.end(end_time=offset_ns + round(turn.started_s * 1e9))
