"""One datagram is one event, or none."""

import asyncio
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.transports.opensips.events import EventRejectedError, EventSocket, UaSessionEvent, parse_event
from tests.core.transports.opensips.rig import until

KEY = "B2B.246.89.1795251300.80071622"


def datagram(**params: object) -> bytes:
    given_params = {"key": KEY, "event_type": "UPDATED", "method": "ACK", "status": 0} | params
    return json.dumps({"jsonrpc": "2.0", "method": "E_UA_SESSION", "params": given_params}).encode()


def test_captured_reply_event_is_read() -> None:
    event = parse_event(datagram(event_type="ANSWERED", method="REFER", status=202, reason="Accepted", body=None))
    assert event == UaSessionEvent(KEY, "ANSWERED", "REFER", 202, "Accepted")


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    raw = datagram(headers="From: M?ller").replace(b"?", b"\xfc")
    assert parse_event(raw).headers["from"] == "M\N{REPLACEMENT CHARACTER}ller"


def test_lone_surrogates_do_not_survive() -> None:
    event = parse_event(datagram(body="\ud800"))
    assert event.body.encode() == b"?"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff",
        b'{"x":',
        b"[" * 60000,
        b"null",
        b'{"method":"E_UA_SESSION"}',
        b'{"method":"E_OTHER","params":{}}',
        datagram(key=None),
        datagram(key=7),
        datagram(key="a b"),
        datagram(key="x" * 300),
        datagram(method="IN VITE"),
        datagram(body=["v=0"]),
        datagram(headers={}),
        datagram(status="ok"),
        datagram(status=1e300),
        datagram(status=-1),
        datagram(status=1000),
    ],
)
def test_anything_else_is_rejected(raw: bytes) -> None:
    with pytest.raises(EventRejectedError):
        parse_event(raw)


def test_status_may_be_text() -> None:
    assert parse_event(datagram(status="200")).status == 200


@given(st.binary(max_size=400))
def test_nothing_else_is_raised(raw: bytes) -> None:
    with pytest.raises(EventRejectedError):
        parse_event(raw)


async def test_a_broken_datagram_does_not_spoil_the_next() -> None:
    seen: list[UaSessionEvent] = []
    events = EventSocket(seen.append)
    port = events.open("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for raw in (b'{"x":', datagram(), b"", datagram(method="BYE")):
            sender.sendto(raw, ("127.0.0.1", port))
        await until(lambda: events.received == 4)
    assert [event.method for event in seen] == ["ACK", "BYE"]
    assert events.rejected == 2
    events.close()
    events.close()


async def test_a_defect_costs_its_own_event_only(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[UaSessionEvent] = []

    def fail_once(event: UaSessionEvent) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise RuntimeError("a defect")

    events = EventSocket(fail_once)
    port = events.open("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(2):
            sender.sendto(datagram(), ("127.0.0.1", port))
        await until(lambda: len(seen) == 2)
    assert "event failed" in caplog.text
    events.close()


async def test_a_taken_port_is_said_so() -> None:
    first = EventSocket(lambda _: None)
    port = first.open("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        EventSocket(lambda _: None).open("127.0.0.1", port)
    first.close()
    assert asyncio.get_running_loop().is_running()
