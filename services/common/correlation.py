"""One call's name in every process it touches: a contextvar here, gRPC metadata between processes."""

from collections.abc import Iterable
from contextvars import ContextVar

from opentelemetry import propagate

CALL_ID_METADATA_KEY = "x-call-id"
CALL_ID_SIZE_MAX = 128

call_id: ContextVar[str] = ContextVar("call_id", default="")


def call_metadata() -> tuple[tuple[str, str], ...]:
    """What a client sends with an RPC so that the server's logs and spans belong to the same call."""
    carrier: dict[str, str] = {}
    # Nothing is added unless a span is being recorded.
    propagate.inject(carrier)
    name = call_id.get()
    if name:
        carrier[CALL_ID_METADATA_KEY] = _header_safe(name)
    return tuple(carrier.items())


def adopt_call_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Takes over the client's call id for the current task; "" where it sent none."""
    for key, value in metadata:
        if key == CALL_ID_METADATA_KEY and isinstance(value, str):
            call_id.set(_header_safe(value))
            return call_id.get()
    call_id.set("")
    return ""


def _header_safe(name: str) -> str:
    """Printable ASCII of a bounded length: it comes from the network, and goes into logs and headers."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:CALL_ID_SIZE_MAX])
