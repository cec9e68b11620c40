"""Every endpoint of the management interface, its refusals, and the bodies that deployed clients rely on."""

import asyncio
from datetime import datetime
from typing import Any

import pydantic
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from core.leg import EndReason, LegEnded
from core.management import server
from core.management.guard import Handler
from core.management.settings import ManagementSettings
from tests.core.management.conftest import Client, Process, Serve

CALL_START = {
    "caller": "sip:alice@example.com",
    "called": "sip:agent@example.com",
    "call_id": "abc@example.com",
    "method": "INVITE",
    "timestamp": "2025-01-01T00:00:00Z",
}


def taken_out(body: dict[str, Any], name: str = "timestamp") -> dict[str, Any]:
    """The body without its time, which must be ISO 8601 with a zone."""
    assert datetime.fromisoformat(body[name]).tzinfo is not None
    return {key: value for key, value in body.items() if key != name}


async def test_health_of_a_process_that_can_take_calls(client: Client) -> None:
    reply = await client.get("/health")
    assert reply.status == 200
    assert taken_out(await reply.json()) == {"status": "healthy", "service": "opensips-ai-core"}


async def test_health_stays_200_and_says_what_is_missing(client: Client, process: Process) -> None:
    process.reasons = ["asr is not ready"]
    reply = await client.get("/health")
    assert reply.status == 200
    assert taken_out(await reply.json()) == {
        "status": "degraded",
        "service": "opensips-ai-core",
        "reasons": ["asr is not ready"],
    }


async def test_liveness_does_not_depend_on_readiness(client: Client, process: Process) -> None:
    process.reasons = ["asr is not ready"]
    reply = await client.get("/health/live")
    assert (reply.status, await reply.json()) == (200, {"status": "alive"})


async def test_readiness(client: Client, process: Process) -> None:
    reply = await client.get("/health/ready")
    assert (reply.status, await reply.json()) == (200, {"status": "ready"})
    process.reasons = ["llm is not ready", "opensips is not connected"]
    reply = await client.get("/health/ready")
    assert (reply.status, await reply.json()) == (
        503,
        {"status": "not ready", "reasons": ["llm is not ready", "opensips is not connected"]},
    )


async def test_status_names_each_service(client: Client, process: Process) -> None:
    process.place("one")
    body = taken_out(await (await client.get("/api/v1/status")).json())
    assert body == {
        "status": "operational",
        "services": {"asr": "connected", "llm": "connected", "tts": "connected"},
        "transports": {"opensips": "ready"},
        "active_calls": 1,
    }
    process.connected["llm"] = False
    process.reasons = ["llm is not ready"]
    body = await (await client.get("/api/v1/status")).json()
    assert body["status"] == "degraded"
    assert body["services"] == {"asr": "connected", "llm": "disconnected", "tts": "connected"}


async def test_status_tells_the_transports_apart(client: Client, process: Process) -> None:
    process.reachable = {"opensips": False, "twilio": True}
    body = await (await client.get("/api/v1/status")).json()
    assert body["transports"] == {"opensips": "not ready", "twilio": "ready"}


@pytest.mark.parametrize("more", [{}, {"message": "hello"}])
async def test_call_start_accepts(client: Client, more: dict[str, str]) -> None:
    reply = await client.post("/api/v1/call/start", json=CALL_START | more)
    assert reply.status == 200
    assert taken_out(await reply.json()) == {"action": "accept", "call_id": "abc@example.com"}


async def test_call_start_rejects_while_not_ready(client: Client, process: Process) -> None:
    process.reasons = ["asr is not ready", "shutting down"]
    reply = await client.post("/api/v1/call/start", json=CALL_START)
    assert taken_out(await reply.json()) == {
        "action": "reject",
        "call_id": "abc@example.com",
        "reason": "asr is not ready; shutting down",
    }


async def test_call_start_rejects_when_all_lines_are_taken(client: Client, process: Process) -> None:
    process.place("one")
    process.place("two")
    body = await (await client.post("/api/v1/call/start", json=CALL_START)).json()
    assert (body["action"], body["reason"]) == ("reject", "as many calls as allowed are up")


@pytest.mark.parametrize(
    ("body", "content_type", "problem"),
    [
        (b"{", "application/json", "no JSON"),
        (b"\xff\xfe", "application/json", "no JSON"),
        (b"{}", "application/json; charset=martian", "no JSON"),
        (b"[" * 60_000, "application/json", "no JSON"),
        (b"[]", "application/json", "must be a JSON object"),
        (b"{}", "application/json", "missing: caller, called, call_id, method, timestamp"),
        (b'{"caller": "a", "called": "b", "method": "INVITE"}', "application/json", "missing: call_id, timestamp"),
    ],
)
async def test_call_start_says_what_is_wrong_with_a_body(
    client: Client, body: bytes, content_type: str, problem: str
) -> None:
    reply = await client.post("/api/v1/call/start", data=body, headers={"Content-Type": content_type})
    assert reply.status == 400
    assert problem in (await reply.json())["error"]


async def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    reply = await client.post("/api/v1/call/start", json=CALL_START | {"message": "x" * server.MAX_BODY_BYTES})
    assert reply.status == 413
    assert "error" in await reply.json()


async def test_unknown_paths_and_methods_are_answered_as_json(client: Client) -> None:
    for status, reply in ((404, await client.get("/nowhere")), (405, await client.post("/health"))):
        assert reply.status == status
        assert "error" in await reply.json()


async def test_calls_that_are_up_are_listed_with_their_turns(client: Client, process: Process) -> None:
    call = process.place("one")
    call.record.begin_turn(heard="Hi?", said="Hello, there.", spoken="Hello,", source="dialogue", interrupted=True)
    body = await (await client.get("/api/v1/calls")).json()
    [listed] = body["calls"]
    assert listed["call_id"] == "one"
    assert (listed["transport"], listed["caller"], listed["called"]) == ("loopback", "alice", "agent")
    assert (listed["ended_at"], listed["end_reason"]) == (None, None)
    [turn] = listed["turns"]
    told = {"heard": "Hi?", "said": "Hello, there.", "spoken": "Hello,", "source": "dialogue", "interrupted": True}
    assert turn == told | {"interrupted_at": None, "stages_ms": {}}


async def test_recent_calls_come_latest_first_and_as_many_as_asked(client: Client, process: Process) -> None:
    for call_id in ("one", "two", "three"):
        process.place(call_id)
        process.calls.close()
    body = await (await client.get("/api/v1/calls/recent")).json()
    assert [call["call_id"] for call in body["calls"]] == ["three", "two", "one"]
    body = await (await client.get("/api/v1/calls/recent?limit=2")).json()
    assert [call["call_id"] for call in body["calls"]] == ["three", "two"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "", "%D9%A3", "9" * 5000])
async def test_a_limit_that_is_no_sensible_number_is_refused(client: Client, limit: str) -> None:
    reply = await client.get(f"/api/v1/calls/recent?limit={limit}")
    assert reply.status == 400
    assert "from 1 to 1000" in (await reply.json())["error"]


async def test_one_call_while_it_is_up_and_afterwards(client: Client, process: Process) -> None:
    process.place("one")
    assert (await (await client.get("/api/v1/calls/one")).json())["call_id"] == "one"
    process.calls.close()
    assert (await (await client.get("/api/v1/calls/one")).json())["call_id"] == "one"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_call_is_not_found(client: Client, method: str) -> None:
    reply = await client.request(method, "/api/v1/calls/nobody")
    assert (reply.status, await reply.json()) == (404, {"error": "no such call"})


async def test_hanging_up_ends_that_call_only(client: Client, process: Process) -> None:
    one, two = process.place("one"), process.place("two")
    await two.leg.answer()
    reply = await client.delete("/api/v1/calls/one")
    assert (reply.status, await reply.json()) == (200, {"call_id": "one", "action": "hung_up"})
    assert await one.leg.receive() == LegEnded(EndReason.OPERATOR)
    await two.leg.play(b"")


GUARDED = [
    ("GET", "/api/v1/calls"),
    ("GET", "/api/v1/calls/recent"),
    ("GET", "/api/v1/calls/x"),
    ("DELETE", "/api/v1/calls/x"),
    ("POST", "/api/v1/calls"),
]
OPEN = ["/health", "/health/live", "/health/ready", "/metrics", "/api/v1/status"]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer wrong", "bearer s3cret", "Basic s3cret"])
async def test_without_the_token_calls_are_not_shown(serve: Serve, method: str, path: str, sent: str | None) -> None:
    client = await serve(ManagementSettings(token=pydantic.SecretStr("s3cret")))
    reply = await client.request(method, path, headers={} if sent is None else {"Authorization": sent})
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert await reply.json() == {"error": "a bearer token is needed"}


async def test_with_the_token_calls_are_shown(serve: Serve) -> None:
    client = await serve(ManagementSettings(token=pydantic.SecretStr("s3cret")))
    reply = await client.get("/api/v1/calls", headers={"Authorization": "Bearer s3cret"})
    assert (reply.status, await reply.json()) == (200, {"calls": []})


@pytest.mark.parametrize("path", OPEN)
async def test_health_and_metrics_need_no_token(serve: Serve, path: str) -> None:
    client = await serve(ManagementSettings(token=pydantic.SecretStr("s3cret")))
    assert (await client.get(path)).status == 200


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 5), True),
        (("127.9.9.9", 5), True),
        (("::1", 5, 0, 0), True),
        (("10.0.0.1", 5), False),
        ("a UNIX socket", False),
        (None, False),
    ],
)
async def test_without_a_token_only_this_machine_is_let_in(process: Process, peer: Any, local: bool) -> None:
    application = process.application(ManagementSettings())

    @web.middleware
    async def from_peer(request: web.Request, handler: Handler) -> web.StreamResponse:
        request._transport_peername = peer
        return await handler(request)

    application.middlewares.append(from_peer)
    async with TestClient(TestServer(application)) as client:
        reply = await client.get("/api/v1/calls")
        assert reply.status == (200 if local else 403)
        assert local or "management.token" in (await reply.json())["error"]


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({"Host": "localhost:8080"}, True),
        ({"Host": "[::1]:8080"}, True),
        # A proxy in front, or a page whose name leads here.
        ({"Host": "voice.example.com"}, False),
        ({"Host": "localhost.example.com"}, False),
        ({"Host": "["}, False),
        ({"X-Forwarded-For": "127.0.0.1"}, False),
        ({"Forwarded": "for=127.0.0.1"}, False),
        ({"Via": "1.1 proxy"}, False),
    ],
)
async def test_what_a_proxy_on_this_machine_passes_on_is_not_this_machines(
    client: Client, headers: dict[str, str], local: bool
) -> None:
    reply = await client.get("/api/v1/calls", headers=headers)
    assert reply.status == (200 if local else 403)


async def test_a_proxy_that_says_nothing_of_itself_is_known_by_its_old_http(client: Client) -> None:
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /api/v1/calls HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"403"
    writer.close()
    await writer.wait_closed()


async def test_a_token_of_arbitrary_bytes_is_refused_as_any_other(serve: Serve) -> None:
    client = await serve(ManagementSettings(token=pydantic.SecretStr("s3cret")))
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /api/v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_tasks_of_the_event_loop_are_counted(client: Client) -> None:
    async def tasks() -> float:
        text = await (await client.get("/metrics")).text()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return families["oavc_event_loop_tasks"].samples[0].value

    before = await tasks()
    async with asyncio.TaskGroup() as group:
        idle = [group.create_task(asyncio.Event().wait()) for _ in range(5)]
        assert await tasks() == before + 5
        for each in idle:
            each.cancel()
    assert await tasks() == before


async def test_metrics_are_prometheus_text(client: Client) -> None:
    reply = await client.get("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(await reply.text())}
    assert families["oavc_active_calls"].type == "gauge"
    assert families["oavc_call_duration_seconds"].type == "histogram"
    assert families["oavc_rtp_packets_lost"].type == "counter"
