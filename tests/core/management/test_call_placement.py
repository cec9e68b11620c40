"""`POST /api/v1/calls`, asked over real HTTP: what is passed on, and how each refusal is told."""

from typing import Any

import pytest

from core.calls.settings import OutboundSettings
from core.errors import SignallingTimeout
from core.management.settings import ManagementSettings
from tests.core.management.conftest import Client, Process, Serve

OURS, NUMBER, OTHER = "+4930999999", "+4930123456", "+4930123457"


@pytest.fixture
async def client(serve: Serve, process: Process) -> Client:
    process.outbound = OutboundSettings(
        enabled=True, transport="switchboard", caller=OURS, allow=(r"\+4930[0-9]+",), max_per_minute=1
    )
    return await serve(ManagementSettings())


async def test_a_call_is_placed_and_named(client: Client, process: Process) -> None:
    reply = await client.post("/api/v1/calls", json={"to": NUMBER, "parameters": {"order_id": "17"}})
    assert (reply.status, await reply.json()) == (202, {"call_id": "placed-1", "transport": "switchboard"})
    assert process.switchboard.placed == [(NUMBER, OURS, {"order_id": "17"})]


async def test_parameters_may_be_left_out(client: Client, process: Process) -> None:
    assert (await client.post("/api/v1/calls", json={"to": NUMBER})).status == 202
    assert process.switchboard.placed == [(NUMBER, OURS, {})]


async def test_by_default_no_call_is_placed(serve: Serve, process: Process) -> None:
    process.outbound = OutboundSettings()
    reply = await (await serve(ManagementSettings())).post("/api/v1/calls", json={"to": NUMBER})
    assert reply.status == 403
    assert "enabled" in (await reply.json())["error"]
    assert process.switchboard.placed == []


async def test_a_number_that_is_not_allowed_is_forbidden(client: Client) -> None:
    reply = await client.post("/api/v1/calls", json={"to": "+19005551234"})
    assert (reply.status, await reply.json()) == (403, {"error": "this number may not be called: [outbound] allow"})


async def test_too_many_are_told_when_to_come_again(client: Client) -> None:
    await client.post("/api/v1/calls", json={"to": NUMBER})
    reply = await client.post("/api/v1/calls", json={"to": OTHER})
    assert reply.status == 429
    assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert (await reply.json())["error"] == "too many calls of late"


async def test_a_transport_that_does_not_answer_is_a_gateway_timeout(client: Client, process: Process) -> None:
    process.switchboard.failure = SignallingTimeout("no answer")
    reply = await client.post("/api/v1/calls", json={"to": NUMBER})
    assert (reply.status, "Retry-After" in reply.headers) == (504, False)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "JSON object"),
        ({}, "to must be"),
        ({"to": 4930123456}, "to must be"),
        ({"to": NUMBER, "parameters": ["x"]}, "object of strings"),
        ({"to": NUMBER, "parameters": {"n": 1}}, "object of strings"),
        ({"to": NUMBER, "from": NUMBER}, "unknown: from"),
        ({"to": "112"}, "neither"),
    ],
)
async def test_what_is_no_request_is_said(client: Client, process: Process, body: Any, problem: str) -> None:
    reply = await client.post("/api/v1/calls", json=body)
    assert reply.status == 400
    assert problem in (await reply.json())["error"]
    assert process.switchboard.placed == []


async def test_a_form_on_some_web_page_places_no_call(client: Client, process: Process) -> None:
    body = '{"to": "+4930123456"}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        reply = await client.post("/api/v1/calls", data=body, headers={"Content-Type": content_type})
        assert reply.status == 415
        assert "error" in await reply.json()
    assert process.switchboard.placed == []
