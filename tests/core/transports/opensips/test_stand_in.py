"""The stand-in refuses, forgets and leaks what OpenSIPS was seen to refuse, forget and leak."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.transports.opensips.mi import MiAddress, MiClient
from tests.core.transports.opensips.rig import OFFER, until
from tools.caller.evi import EventFaults, EventInterface
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.ua_session import SessionState


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Peer:
    """A connector by hand."""

    def __init__(self, opensips: OpenSipsStandIn) -> None:
        self.opensips = opensips
        self.mi = MiClient(MiAddress(port=opensips.mi_port))
        self.events = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.events.bind(("127.0.0.1", 0))
        self.events.setblocking(False)

    @property
    def socket_name(self) -> str:
        return f"udp:127.0.0.1:{self.events.getsockname()[1]}"

    async def subscribe(self, expire: int = 30) -> None:
        params = {"event": "E_UA_SESSION", "socket": self.socket_name, "expire": expire}
        await self.mi.call("event_subscribe", params)

    async def event(self) -> dict[str, Any]:
        async with asyncio.timeout(2):
            raw = await asyncio.get_running_loop().sock_recv(self.events, 65536)
        found: dict[str, Any] = json.loads(raw)["params"]
        return found

    async def reply(self, key: str, code: int, method: str = "INVITE", **more: Any) -> Any:
        params = {"key": key, "method": method, "code": code, "reason": "x"} | more
        return await self.mi.call("ua_session_reply", params)


@pytest.fixture
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    opensips = OpenSipsStandIn(sip_timeout_s=0.05, clock=Clock(), **getattr(request, "param", {}))
    await opensips.start()
    peer = Peer(opensips)
    yield peer
    peer.mi.close()
    peer.events.close()
    await opensips.stop()


async def refused(peer: Peer, method: str, params: Any) -> str:
    with pytest.raises(Exception, match=method) as error:
        await peer.mi.call(method, params)
    return str(error.value)


async def test_event_carries_all_nine_parameters(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER, extra_params="{}", headers=[("X-AI-Params", "{}")])
    event = await peer.event()
    assert list(event) == [
        "key", "event_type", "entity_type", "status", "reason", "method", "body", "headers", "extra_params",
    ]  # fmt: skip
    assert (event["event_type"], event["method"], event["status"], event["reason"]) == ("NEW", "INVITE", 0, None)
    assert event["body"] == OFFER
    assert "X-AI-Params: {}\r\nContent-Type: application/sdp\r\nContent-Length:   2" in event["headers"]
    assert event["key"] == call.key


async def test_nobody_subscribed_is_503_by_the_guard_and_silence_without_it(peer: Peer) -> None:
    assert (await peer.opensips.invite(OFFER).final()).status == 503
    peer.opensips._guard = False
    with pytest.raises(TimeoutError):
        await peer.opensips.invite(OFFER).final(0.02)
    assert len(peer.opensips.sessions) == 1


async def test_subscription_runs_out_and_shows_its_time_left(peer: Peer) -> None:
    clock = peer.opensips._clock
    assert isinstance(clock, Clock)
    await peer.subscribe(3)
    clock.now_s += 2
    listed = await peer.mi.call("subscribers_list", {"event": "E_UA_SESSION"})
    assert listed["Events"][0]["Subscribers"] == [{"socket": peer.socket_name, "expire": 3, "ttl": 1}]
    clock.now_s += 2
    assert await peer.mi.call("subscribers_list") == {"Events": []}
    await peer.subscribe(0)
    assert peer.opensips.events.subscribers != []
    clock.now_s += 1
    assert peer.opensips.events.subscribers == []


@pytest.mark.parametrize(
    "params",
    [
        {"event": "E_X", "socket": "udp:127.0.0.1:9"},
        {"event": "E_UA_SESSION", "socket": "tcp:127.0.0.1:9"},
        {"event": "E_UA_SESSION", "socket": "udp:127.0.0.1:x"},
        {"event": "E_UA_SESSION", "socket": "udp:no-such.invalid:9"},
    ],
)
async def test_impossible_subscription_is_refused(peer: Peer, params: dict[str, str]) -> None:
    assert "400 Bad parameter value" in await refused(peer, "event_subscribe", params)


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("ua_session_reply", {"key": "k", "method": "INVITE", "code": 200}, "-32602"),
        ("ua_session_update", {"key": "k", "method": "BYE", "content_type": "x"}, "-32602"),
        ("ua_session_terminate", ["k", "a", "b"], "-32602"),
        ("ua_session_terminate", ["k"], "500 Failed to terminate session"),
        ("ua_session_update", ["k", "BYE"], "500 Failed to send sequential request"),
        ("ua_session_list", {"key": "garbage"}, "400 Bad format"),
        ("ua_session_list", {"key": "B2B.1.2.3.4"}, "404 Entity not found"),
        ("ua_session_start", {}, "-32601"),
    ],
)
async def test_wrong_commands_are_refused_as_captured(peer: Peer, method: str, params: Any, error: str) -> None:
    assert error in await refused(peer, method, params)


@pytest.mark.parametrize(
    ("peer", "known"), [({"version": "3.6"}, False), ({"version": "4.0"}, True)], indirect=["peer"]
)
async def test_prefixed_names_are_known_since_4_0(peer: Peer, known: bool) -> None:
    if known:
        assert await peer.mi.call("evi:subscribers") == {"Events": []}
    else:
        assert "-32601" in await refused(peer, "evi:subscribers", {})
    assert await peer.mi.call("events_list") == {"Events": [{"name": "E_UA_SESSION", "id": 8}]}


async def test_listing_of_too_many_sessions_is_no_json(peer: Peer) -> None:
    peer.opensips._guard = False
    first = peer.opensips.invite(OFFER)
    assert (await peer.mi.call("ua_session_list"))[0]["to_tag"] == first.key
    for _ in range(150):
        peer.opensips.invite(OFFER)
    assert "500 500 Internal error" in await refused(peer, "ua_session_list", {})
    assert (await peer.mi.call("ua_session_list", {"key": first.key}))["state"] == 1


async def test_unanswered_session_cannot_be_terminated_and_a_refused_one_stays(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    assert "Failed to terminate" in await refused(peer, "ua_session_terminate", {"key": call.key})
    await peer.reply(call.key, 486)
    assert (await call.final()).status == 486
    assert peer.opensips.sessions[call.key].state is SessionState.TERMINATED
    assert await peer.mi.call("ua_session_terminate", {"key": call.key}) == "OK"
    assert peer.opensips.sessions == {}


async def test_cancelled_session_that_is_only_terminated_gives_408(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    assert (await call.cancel()).reason == "canceling"
    await peer.mi.call("ua_session_terminate", {"key": call.key})
    assert (await call.final()).status == 408
    assert (await call.cancel()).status == 481


async def test_second_answer_is_taken_for_a_retransmission(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    assert await peer.reply(call.key, 200, body=OFFER) == "OK"
    assert await peer.reply(call.key, 200, body="another") == "OK"
    assert (await call.final()).body == OFFER
    call.ack()
    call.ack()
    assert await peer.reply(call.key, 200) == "OK"
    assert "Failed to send reply" in await refused(
        peer, "ua_session_reply", {"key": call.key, "method": "INFO", "code": 500, "reason": "x"}
    )


async def test_what_leaks_memory_or_crashes_is_noted(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    await peer.reply(call.key, 180, extra_headers="X: y")
    await peer.reply(call.key, 180, body="b", content_type="text/plain")
    assert [violation.split(":")[0] for violation in peer.opensips.violations] == [
        "extra_headers without body",
        "extra_headers do not end with CRLF",
        "content_type is no header line",
    ]
    peer.opensips.sessions[call.key].expire()
    await refused(peer, "ua_session_terminate", {"key": call.key})
    assert "crashes" in peer.opensips.violations[-1]
    await peer.reply(call.key, 500)
    await peer.mi.call("ua_session_terminate", {"key": call.key})
    assert len(peer.opensips.violations) == 5


async def test_requests_nobody_replies_to_time_out_and_block_others(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    assert (await call.request("INFO")).status == 408
    await peer.reply(call.key, 200)
    call.ack()
    assert (await call.request("PRACK")).status == 200
    assert (await call.request("UPDATE")).status == 408
    assert (await call.refer("sip:x@y")).status == 408
    assert (await call.request("OPTIONS")).status == 500
    assert (await call.bye()).status == 200
    assert (await call.bye()).status == 200
    assert (await call.request("OPTIONS")).status == 481


async def test_request_meets_one_of_ours(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    await peer.reply(call.key, 200)
    call.ack()
    call.answers["INFO"] = None
    await peer.mi.call("ua_session_update", {"key": call.key, "method": "INFO"})
    await peer.mi.call("ua_session_update", {"key": call.key, "method": "ACK"})
    assert (await call.request("OPTIONS")).status == 491
    kinds = []
    while (event := await peer.event())["event_type"] != "REJECTED":
        kinds.append(event["event_type"])
    assert (event["method"], event["status"]) == ("INFO", 408)
    await peer.mi.call("ua_session_update", {"key": call.key, "method": "BYE"})
    assert "Failed" in await refused(peer, "ua_session_update", {"key": call.key, "method": "INFO"})
    await until(lambda: not peer.opensips.sessions)


async def test_its_timer_hangs_up_without_an_event(peer: Peer) -> None:
    await peer.subscribe()
    call = peer.opensips.invite(OFFER)
    await peer.reply(call.key, 200)
    raised = len(peer.opensips.events.raised)
    peer.opensips.sessions[call.key].expire()
    await asyncio.wait_for(call.hung_up.wait(), 2)
    assert peer.opensips.sessions == {}
    assert len(peer.opensips.events.raised) == raised


async def test_garbage_over_mi_is_a_parse_error(peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    peer.events.sendto(b"{", ("127.0.0.1", peer.opensips.mi_port))
    async with asyncio.timeout(2):
        reply = json.loads(await loop.sock_recv(peer.events, 65536))
    assert reply["error"]["code"] == -32700


async def test_left_sessions_are_named(peer: Peer) -> None:
    peer.opensips._guard = False
    peer.opensips.invite(OFFER)
    with pytest.raises(TimeoutError, match="NEW"):
        await peer.opensips.settled(0.01)


async def test_faults_are_the_same_for_the_same_seed() -> None:
    def outcome(seed: int) -> list[bytes]:
        with pytest.MonkeyPatch.context() as patch:
            sent: list[bytes] = []
            patch.setattr(EventInterface, "deliver", lambda _self, payload, *_: sent.append(payload))
            events = EventInterface(Clock(), seed, EventFaults(loss=0.3, duplicate=0.3))
            assert events.subscribe("udp:127.0.0.1:9", 30)
            for number in range(50):
                events.raise_event({"key": number})
        return sent

    assert outcome(1) == outcome(1)
    assert outcome(1) != outcome(2)
