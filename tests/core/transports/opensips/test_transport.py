"""The connector's life beside OpenSIPS: start, restart, crash, drain and stop, of either side."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from core.leg import CallLeg, EndReason
from core.transports import conversation
from core.transports.opensips import audit as audit_module
from core.transports.opensips import orphans as orphans_module
from core.transports.opensips import subscription as subscription_module
from core.transports.opensips import transport as transport_module
from tests.core.transports.opensips.rig import OFFER, Conversation, Rig, until
from tools.caller.evi import EventFaults
from tools.caller.mi import MiFault


async def next_call_works(rig: Rig) -> None:
    rig.conversation = Conversation()
    call = await rig.answered()
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()


async def test_call_is_answered_acknowledged_and_ended_by_the_caller(rig: Rig) -> None:
    await rig.connect()
    call = rig.opensips.invite(OFFER, caller="alice", called="agent", extra_params='{"flavor":"echo","n":1}')
    reply = await call.final()
    assert reply.status == 200
    assert "m=audio" in reply.body
    call.ack()
    info = (await rig.conversation.leg()).info
    assert (info.transport, info.caller, info.called) == ("opensips", "alice", "agent")
    assert info.parameters == {"flavor": "echo", "n": "1"}
    assert info.headers["call-id"].endswith("@127.0.0.1")
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()


@pytest.mark.parametrize("extra_params", [None, "<null>", "[1]", "{", "[" * 5000])
async def test_parameters_that_are_no_object_are_none(rig: Rig, extra_params: str | None) -> None:
    await rig.connect()
    call = rig.opensips.invite(OFFER, extra_params=extra_params)
    assert (await call.final()).status == 200
    assert (await rig.conversation.leg()).info.parameters == {}
    call.ack()
    await call.bye()


async def test_header_that_is_no_utf_8_loses_no_call(rig: Rig) -> None:
    await rig.connect()
    latin_1 = b"M\xfcller".decode("utf-8", "surrogateescape")
    call = rig.opensips.invite(OFFER, headers=[("From", f'"{latin_1}" <sip:alice@h>;tag=1')])
    assert (await call.final()).status == 200
    assert (await rig.conversation.leg()).info.caller == "alice"
    call.ack()
    await call.bye()


async def test_connector_that_starts_first_waits_for_opensips(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_module, "_RETRY_S", 0.02)
    await rig.opensips.stop()
    rig.start()
    await until(lambda: rig.transport.mi.counters.timeouts > 0)
    assert not rig.transport.ready
    await rig.opensips.start()
    await rig.opensips.wait_subscribed()
    await until(lambda: rig.transport.ready)
    await next_call_works(rig)


async def test_restart_of_opensips_is_noticed_and_the_next_call_works(rig: Rig) -> None:
    await rig.connect()
    await rig.opensips.restart()
    await rig.opensips.wait_subscribed()
    await next_call_works(rig)


async def test_restart_of_opensips_leaves_a_talking_caller_alone_and_ends_a_silent_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_SILENCE_S", 0.05)
    packets = [0]
    await rig.connect()
    call = await rig.answered()
    leg = rig.leg(call)

    def still_talking() -> int:
        packets[0] += 1
        return packets[0]

    monkeypatch.setattr(leg, "packets_received", still_talking)
    await rig.opensips.restart()
    await rig.opensips.wait_subscribed()
    await until(lambda: packets[0] > 3)
    assert rig.transport.calls == 1
    monkeypatch.setattr(leg, "packets_received", lambda: 0)
    assert await rig.conversation.ended() is EndReason.SIGNALLING_LOST
    await rig.quiet()
    await next_call_works(rig)


async def test_hang_up_after_opensips_forgot_the_session_is_harmless(rig: Rig) -> None:
    await rig.connect(audit_interval_s=60)
    await rig.answered()
    leg = await rig.conversation.leg()
    rig.opensips.sessions.clear()
    await leg.hang_up(EndReason.IDLE)
    assert await rig.conversation.ended() is EndReason.IDLE
    await rig.quiet()


async def test_call_whose_bye_event_was_lost_is_found_by_the_audit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_SILENCE_S", 0.02)
    await rig.connect(audit_interval_s=0.05)
    call = await rig.answered()
    rig.opensips.events.faults = EventFaults(loss=1.0)
    await call.bye()
    assert await rig.conversation.ended() is EndReason.SIGNALLING_LOST
    rig.opensips.events.faults = EventFaults()
    await rig.quiet()


async def test_timer_of_opensips_is_found_by_the_audit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_SILENCE_S", 0.02)
    await rig.connect(audit_interval_s=0.05)
    call = await rig.answered()
    rig.opensips.sessions[call.key].expire()
    assert await rig.conversation.ended() is EndReason.SIGNALLING_LOST
    await rig.quiet()


async def test_audit_without_an_answer_ends_no_call(rig: Rig) -> None:
    await rig.connect(audit_interval_s=0.02, mi_timeout_s=0.05)
    call = await rig.answered()
    asked = rig.opensips.count("ua_session_list")
    rig.opensips.fail("ua_session_list", *[MiFault.LOSE_REQUEST] * 6)
    await until(lambda: rig.opensips.count("ua_session_list") > asked + 7)
    assert rig.transport.calls == 1
    await call.bye()
    await rig.quiet()


@pytest.mark.parametrize("journal", [True, False])
async def test_sessions_of_a_crashed_predecessor_are_ended(
    rig: Rig, tmp_path: Path, journal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "_EVENT_TRAVEL_S", 0.02)
    path = str(tmp_path / "state" / "sessions") if journal else ""
    await rig.connect(session_journal=path)
    talking = await rig.answered()
    rig.conversation = Conversation(answers=False)
    waiting = rig.opensips.invite(OFFER)
    await rig.conversation.leg()
    await rig.crash()
    if journal:
        # A listing of too many sessions cannot be had.
        rig.opensips.fail("ua_session_list", MiFault.PLAIN_TEXT)
    assert len(rig.opensips.sessions) == 2
    rig.opensips.events._subscribers.clear()
    rig.conversation = Conversation()
    await rig.connect(session_journal=path)
    assert (await waiting.final()).status == 500
    await asyncio.wait_for(talking.hung_up.wait(), 5)
    await rig.quiet()
    await next_call_works(rig)


async def test_old_unanswered_orphan_is_not_touched(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "_EVENT_TRAVEL_S", 0.0)
    # Its timer may be over, and OpenSIPS crashes when it is touched then.
    monkeypatch.setattr(orphans_module, "_UNANSWERED_AGE_MAX_S", -1.0)
    rig.opensips._guard = False
    old = rig.opensips.invite(OFFER)
    rig.opensips.sessions[old.key].expire()
    await rig.connect()
    await until(lambda: rig.opensips.count("ua_session_list") > 1 and not rig.transport.orphans)
    assert list(rig.opensips.sessions) == [old.key]
    rig.opensips.sessions.clear()


async def test_requests_of_sessions_we_do_not_know_get_481_and_are_ended(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    # As after a crash: the session is OpenSIPS', and nobody's here.
    leg = rig.transport._legs.pop(call.key)
    assert (await call.info("Signal=1")).status == 481
    await asyncio.wait_for(call.hung_up.wait(), 5)
    assert rig.transport.counters.orphaned == 1
    rig.transport._legs[call.key] = leg
    leg.dialog.lost()
    await rig.quiet()


async def test_other_connectors_sessions_are_left_alone_and_the_split_brain_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.connect()
    call = await rig.answered()
    assert rig.opensips.events.subscribe("udp:127.0.0.1:9", 3600)
    await until(lambda: "another connector is subscribed" in caplog.text)
    leg = rig.transport._legs.pop(call.key)
    answering = asyncio.ensure_future(call.info("Signal=1"))
    await until(lambda: rig.transport.counters.ignored == 1)
    assert not answering.done()
    # It was the other one's; here it ends as a call that OpenSIPS knows no more.
    rig.transport._legs[call.key] = leg
    rig.opensips.sessions.clear()
    leg.dialog.lost()
    assert (await answering).status == 408
    await rig.quiet()


async def test_lost_subscription_is_made_again(rig: Rig) -> None:
    await rig.connect()
    rig.opensips.events._subscribers.clear()
    await until(lambda: bool(rig.opensips.events.subscribers) and rig.transport.ready)
    await next_call_works(rig)


async def test_unreachable_opensips_makes_us_unready_once_the_subscription_has_run_out(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.connect(mi_timeout_s=0.05)
    await rig.opensips.stop()
    assert rig.transport.ready
    subscription = rig.transport._subscription
    assert subscription is not None
    subscription._expires_at_s = 0.0
    await until(lambda: not rig.transport.ready)


async def test_draining_refuses_new_calls_and_keeps_those_that_are_up(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    await rig.transport.drain()
    assert not rig.transport.ready
    refused = await rig.opensips.invite(OFFER).final()
    assert (refused.status, refused.headers["retry-after"]) == (503, "30")
    assert rig.opensips.events.subscribers != []
    assert (await call.info("Signal=1")).status == 200
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()


async def test_stop_hangs_up_refuses_and_unsubscribes(rig: Rig) -> None:
    await rig.connect()
    talking = await rig.answered()
    rig.conversation.answers = False
    ringing = rig.opensips.invite(OFFER)
    await rig.conversation.leg(1)
    await rig.disconnect()
    assert "shutting down" in (await talking.next_request("BYE")).headers["reason"]
    assert (await ringing.final()).status == 480
    assert rig.opensips.sessions == {}
    assert [each.expire_s for each in rig.opensips.events.subscribers] in ([], [0])


async def test_conversation_that_outlives_its_call_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "HANDLER_GRACE_S", 0.05)

    async def never_mind(leg: CallLeg) -> None:
        await asyncio.get_running_loop().create_future()

    rig.conversation.after_answer = never_mind
    await rig.connect()
    call = await rig.answered()
    await call.bye()
    await rig.quiet()
    await next_call_works(rig)


async def test_mi_over_a_unix_socket(plane: Any, tmp_path: Path) -> None:
    from tools.caller.opensips import OpenSipsStandIn

    opensips = OpenSipsStandIn(mi_socket=tmp_path / "mi")
    await opensips.start()
    rig = Rig(opensips, plane)
    await rig.connect(mi_socket=str(tmp_path / "mi"), mi_port=1, event_ip="0.0.0.0")
    await next_call_works(rig)
    await rig.disconnect()
    await opensips.stop()


async def test_connector_bound_to_every_address_is_subscribed_by_the_one_opensips_sees(rig: Rig) -> None:
    await rig.connect(event_ip="0.0.0.0")
    assert [each.address[0] for each in rig.opensips.events.subscribers] == ["127.0.0.1"]
    await next_call_works(rig)


async def test_opensips_3_6_works_the_same(plane: Any) -> None:
    from tools.caller.opensips import OpenSipsStandIn

    opensips = OpenSipsStandIn(version="3.6")
    await opensips.start()
    rig = Rig(opensips, plane)
    await rig.connect()
    await next_call_works(rig)
    await rig.disconnect()
    await opensips.stop()


async def test_calls_come_through_duplicated_delayed_and_reordered_events(rig: Rig) -> None:
    # A machine that stalls is not what is tested here.
    rig.opensips.sip_timeout_s = 10.0
    await rig.connect(mi_timeout_s=2.0)
    rig.opensips.events.faults = EventFaults(duplicate=0.5, delay=0.5, delay_s=0.01)
    rig.opensips.events_before_replies = True

    async def one(number: int) -> None:
        call = rig.opensips.invite(OFFER)
        assert (await call.final()).status == 200
        call.ack()
        assert (await call.info(f"Signal={number % 10}")).status == 200
        assert (await call.reinvite(OFFER.replace("sendrecv", "sendonly"))).status == 200
        if number % 2:
            assert (await call.bye()).status == 200
        else:
            leg = rig.transport._legs.get(call.key)
            if leg is not None:
                await leg.hang_up(EndReason.IDLE)

    await asyncio.gather(*(one(number) for number in range(40)))
    await rig.quiet()


async def test_random_and_mutated_datagrams_harm_nobody(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    captured = [json.dumps(_event(parameters)).encode() for parameters in rig.opensips.events.raised]
    address = ("127.0.0.1", rig.transport.event_port)
    seeded = random.Random(20260101)
    for number in range(10_000):
        rig.opensips.events.deliver(_garbage(seeded, captured), address)
        if number % 50 == 0:
            # The kernel's buffer is not what is tested here.
            await asyncio.sleep(0)
            await until(lambda number=number: rig.transport.events.received >= number - 49)  # type: ignore[misc]
    await until(lambda: rig.transport.events.received >= 10_000)
    assert rig.transport.events.rejected > 5_000
    # The live call may have been ended by a forged event of its own; its session must not stay.
    await call.bye()
    await rig.quiet()
    await next_call_works(rig)


def _event(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "E_UA_SESSION", "params": parameters}


def _garbage(seeded: random.Random, captured: list[bytes]) -> bytes:
    kind = seeded.randrange(5)
    if kind == 0:
        return seeded.randbytes(seeded.randrange(0, 300))
    event = bytearray(seeded.choice(captured))
    if kind == 1:
        return bytes(event[: seeded.randrange(len(event))])
    if kind == 2:
        # Well-formed, of a session that never was.
        key = f"B2B.{seeded.randrange(512)}.{seeded.randrange(99)}.1795251300.{seeded.randrange(99)}"
        message = json.loads(event)
        message["params"]["key"] = key
        message["params"][seeded.choice(list(message["params"]))] = seeded.choice([None, 0, "x", [], {}, True])
        return json.dumps(message).encode()
    for _ in range(seeded.randrange(1, 8)):
        event[seeded.randrange(len(event))] = seeded.randrange(256)
    return bytes(event)


async def test_malformed_offers_are_all_refused_and_leave_nothing(rig: Rig) -> None:
    await rig.connect()
    seeded = random.Random(20260102)
    for number in range(500):
        offer = _malformed(seeded, number)
        call = rig.opensips.invite(offer)
        reply = await call.final()
        assert reply.status >= 400, offer
    await rig.quiet()
    assert rig.opensips.count("ua_session_terminate") >= 500
    await next_call_works(rig)


def _malformed(seeded: random.Random, number: int) -> str:
    """An offer that cannot be answered, whatever else is wrong with it."""
    lines = OFFER.split("\r\n")
    match number % 6:
        case 0:
            return "".join(chr(seeded.randrange(33, 127)) for _ in range(seeded.randrange(1, 400)))
        case 1:
            return OFFER[: seeded.randrange(1, OFFER.index("m=audio"))]
        case 2:
            return OFFER.replace("RTP/AVP", seeded.choice(["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "TCP"]))
        case 3:
            payload_type = seeded.choice([3, 4, 18, 34, 111])
            return OFFER.replace("AVP 0 101", f"AVP {payload_type}").replace("rtpmap:0 PCMU", "rtpmap:99 X")
        case 4:
            return OFFER.replace("audio 16000", f"audio {seeded.choice(['-1', '99999', 'x', '', '1e3'])}")
        case _:
            seeded.shuffle(lines)
            return "\r\n".join(line for line in lines if not line.startswith("m="))
