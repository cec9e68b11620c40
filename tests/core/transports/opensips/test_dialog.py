"""Every message of a call, in every order it may come in, leaves the caller answered and the session freed."""

import asyncio
from typing import Any

import pytest

from core.errors import Busy, CallEnded, CallRefused, OfferRejected, SignallingError, TransferFailed
from core.leg import CallLeg, DigitReceived, EndReason, HoldChanged
from core.transports.opensips import dialog as dialog_module
from core.transports.opensips import release as release_module
from core.transports.opensips.dialog import DialogState
from tests.core.transports.opensips.rig import OFFER, Rig, until
from tools.caller.mi import MiFault
from tools.caller.sip import SipReply


def direction(sdp: str) -> str:
    return next(line[2:] for line in sdp.splitlines() if line[2:] in ("sendrecv", "sendonly", "recvonly", "inactive"))


def version(sdp: str) -> int:
    return int(next(line for line in sdp.splitlines() if line.startswith("o=")).split()[2])


async def test_ringing_is_sent_before_the_answer_where_it_is_wanted(rig: Rig) -> None:
    await rig.connect(ringing=True)
    call = await rig.answered()
    assert [reply.status for reply in call.provisional] == [180]
    await call.bye()


async def test_retransmitted_invite_event_begins_no_second_call(rig: Rig) -> None:
    rig.opensips.events.faults = type(rig.opensips.events.faults)(duplicate=1.0)
    await rig.connect()
    call = await rig.answered()
    assert len(rig.conversation.legs) == 1
    assert rig.opensips.count("ua_session_reply") == 1
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


async def test_bye_is_not_replied_to_and_ends_the_call(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()
    assert rig.opensips.count("ua_session_reply") == 1
    assert rig.opensips.count("ua_session_terminate") == 0


async def test_cancel_before_the_answer_gets_487_and_frees_the_session(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    await rig.conversation.leg()
    assert (await call.cancel()).reason == "canceling"
    assert (await call.final()).status == 487
    assert await rig.conversation.ended() is EndReason.CALLER_CANCELLED
    await rig.quiet()


async def test_cancel_that_arrives_before_its_invite_gets_487(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.connect()
    held: list[dict[str, Any]] = []
    raise_event = rig.opensips.events.raise_event
    monkeypatch.setattr(rig.opensips.events, "raise_event", held.append)
    call = rig.opensips.invite(OFFER)
    await call.cancel()
    monkeypatch.undo()
    for event in reversed(held):
        raise_event(event)
    assert (await call.final()).status == 487
    await rig.quiet()
    assert rig.conversation.legs == []


async def test_answer_that_overtakes_the_cancel_ends_in_a_bye_of_the_caller(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    leg = await rig.conversation.leg()
    rig.opensips.reply_delay_s = 0.03
    answering = asyncio.ensure_future(leg.answer())
    await until(lambda: call.session is not None and call.session.state.name == "CONFIRMED")
    await call.cancel()
    assert (await call.final()).status == 200
    with pytest.raises(CallEnded):
        await answering
    call.ack()
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_CANCELLED
    await rig.quiet()


async def test_caller_that_cancelled_too_late_and_then_vanished_is_hung_up_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_module, "_BYE_AFTER_CANCEL_S", 0.05)
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    await call.cancel()
    assert await rig.conversation.ended() is EndReason.CALLER_CANCELLED
    await rig.quiet()


async def test_cancel_that_overtakes_the_answer_gets_487(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    leg = await rig.conversation.leg()
    # OpenSIPS refuses the 200: the transaction is already gone.
    rig.opensips.fail("ua_session_reply", MiFault.REFUSE)
    answering = asyncio.ensure_future(leg.answer())
    await call.cancel()
    await asyncio.sleep(0)
    with pytest.raises(CallEnded):
        await answering
    assert (await call.final()).status == 487
    assert await rig.conversation.ended() is EndReason.CALLER_CANCELLED
    await rig.quiet()


async def test_cancel_of_a_reinvite_does_not_end_the_call(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    assert call.session is not None
    headers = f"To: <sip:echo@127.0.0.1>;tag={call.key}\r\nCSeq: 2 CANCEL\r\n"
    rig.opensips.raise_session_event(call.session, "TERMINATED", "CANCEL", headers=headers)
    assert (await call.info("Signal=5")).status == 200
    await rig.conversation.saw(DigitReceived("5"))
    await call.bye()


async def test_ack_before_the_reply_to_the_command_is_no_surprise(rig: Rig) -> None:
    await rig.connect()
    rig.opensips.reply_delay_s = 0.02
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    call.ack()
    leg = await rig.conversation.leg()
    await until(lambda: rig.leg(call).dialog.state is DialogState.CONFIRMED)
    assert leg.sample_rate_hz == 8000
    await call.bye()


async def test_missing_ack_is_looked_up_and_hung_up_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "ACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(release_module, "_ACK_BEFORE_BYE_S", 0.01)
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    assert await rig.conversation.ended() is EndReason.SIGNALLING_LOST
    await call.hung_up.wait()
    await rig.quiet()


async def test_script_without_flag_a_loses_no_call(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "ACK_TIMEOUT_S", 0.05)
    rig.opensips.report_ack = False
    await rig.connect()
    call = await rig.answered()
    assert rig.opensips.count("ua_session_list") > 0
    assert not call.hung_up.is_set()
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


async def test_unanswered_call_is_refused_when_its_time_is_over(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect(answer_timeout_s=0.05)
    call = rig.opensips.invite(OFFER)
    reply = await call.final()
    assert (reply.status, reply.headers["retry-after"]) == (503, "10")
    assert await rig.conversation.ended() is EndReason.ERROR
    await rig.quiet()


@pytest.mark.parametrize(
    ("refusal", "status", "header"),
    [
        (Busy(), 503, ("retry-after", "10")),
        (OfferRejected(415, "Unsupported Media Type"), 415, ("accept", "application/sdp")),
        (OfferRejected(488, "Not\r\nAcceptable"), 488, None),
        (CallRefused(486, "Busy Here"), 486, None),
        (ValueError("a defect"), 500, None),
    ],
)
async def test_refused_call_gets_its_status_and_is_freed(
    rig: Rig, refusal: Exception, status: int, header: tuple[str, str] | None
) -> None:
    async def refuse(leg: CallLeg) -> None:
        await leg.reject(refusal)

    rig.conversation.before_answer = refuse
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    reply = await call.final()
    assert reply.status == status
    assert "\n" not in reply.reason
    if header is not None:
        assert reply.headers[header[0]] == header[1]
    await rig.quiet()


async def test_handler_that_fails_before_the_answer_makes_500(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(leg: CallLeg) -> None:
        raise RuntimeError("a defect")

    rig.conversation.before_answer = fail
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 500
    await rig.quiet()
    assert "conversation failed" in caplog.text


async def test_handler_that_raises_a_refusal_is_taken_at_its_word(rig: Rig) -> None:
    async def refuse(leg: CallLeg) -> None:
        raise Busy

    rig.conversation.before_answer = refuse
    await rig.connect()
    assert (await rig.opensips.invite(OFFER).final()).status == 503
    await rig.quiet()


async def test_handler_that_returns_without_an_answer_leaves_no_caller_waiting(rig: Rig) -> None:
    async def walk_away(leg: CallLeg) -> None:
        raise asyncio.CancelledError

    rig.conversation.before_answer = walk_away
    await rig.connect()
    assert (await rig.opensips.invite(OFFER).final()).status == 480
    await rig.quiet()


async def test_hang_up_sends_bye_with_its_reason(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    await leg.hang_up(EndReason.IDLE)
    bye = await call.next_request("BYE")
    assert bye.headers["reason"] == 'SIP;cause=200;text="idle"'
    assert await rig.conversation.ended() is EndReason.IDLE
    await rig.quiet()
    # The outcome was reported, and nothing is left to terminate.
    assert rig.opensips.count("ua_session_terminate") == 0


async def test_hang_up_before_the_ack_waits_for_it(rig: Rig) -> None:
    async def hang_up(leg: CallLeg) -> None:
        await leg.hang_up(EndReason.IDLE)

    rig.conversation.after_answer = hang_up
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    assert await rig.conversation.ended() is EndReason.IDLE
    # A BYE may only follow the ACK.
    for _ in range(3):
        await rig.transport.mi.call("uptime")
    assert rig.opensips.count("ua_session_update") == 0
    call.ack()
    await call.next_request("BYE", timeout_s=0.5)
    await rig.quiet()


async def test_hang_up_twice_is_one_bye(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    await leg.hang_up(EndReason.IDLE)
    await leg.hang_up(EndReason.OPERATOR)
    assert await rig.conversation.ended() is EndReason.IDLE
    await rig.quiet()
    assert [request.method for request in call.received] == ["BYE"]


async def test_bye_from_both_sides_at_once_ends_cleanly(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    await asyncio.gather(leg.hang_up(EndReason.IDLE), call.bye())
    await rig.quiet()


@pytest.mark.parametrize("fault", [MiFault.REFUSE, MiFault.LOSE_REQUEST, MiFault.LOSE_REPLY, MiFault.PLAIN_TEXT])
async def test_hang_up_whose_command_fails_still_frees_the_session(
    rig: Rig, fault: MiFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_module, "_BYE_OUTCOME_S", 0.1)
    await rig.connect()
    call = await rig.answered()
    rig.opensips.fail("ua_session_update", fault)
    await (await rig.conversation.leg()).hang_up(EndReason.IDLE)
    await asyncio.wait_for(call.hung_up.wait(), 5)
    await rig.quiet()


async def test_phone_that_does_not_answer_our_bye_is_forgotten(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "_BYE_OUTCOME_S", 0.1)
    rig.opensips.sip_timeout_s = 0.2
    await rig.connect()
    call = await rig.answered()
    call.answers["BYE"] = None
    await (await rig.conversation.leg()).hang_up(EndReason.IDLE)
    await rig.quiet()


async def test_hold_is_answered_in_kind_and_told(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    first = (await call.final()).body
    held = await call.reinvite(OFFER.replace("sendrecv", "sendonly"))
    assert (held.status, direction(held.body)) == (200, "recvonly")
    assert version(held.body) == version(first) + 1
    await rig.conversation.saw(HoldChanged(True))
    resumed = await call.reinvite(OFFER)
    assert (resumed.status, direction(resumed.body)) == (200, "sendrecv")
    await rig.conversation.saw(HoldChanged(False))
    inactive = await call.reinvite(OFFER.replace("sendrecv", "inactive"))
    assert direction(inactive.body) == "inactive"
    await call.bye()


async def test_reinvite_that_cannot_be_answered_leaves_the_call_as_it_was(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    assert (await call.reinvite(OFFER.replace("RTP/AVP 0 101", "RTP/SAVP 0"))).status == 488
    assert (await call.reinvite("no description at all")).status == 400
    refused = await call.request("INVITE", "<xml/>", "application/xml")
    assert (refused.status, refused.headers["accept"]) == (415, "application/sdp")
    assert (await call.reinvite(OFFER)).status == 200
    await call.bye()


async def test_reinvite_without_an_offer_gets_ours_and_its_ack_is_the_answer(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    reply = await call.request("INVITE")
    assert reply.status == 200
    assert "m=audio" in reply.body
    call.ack(OFFER.replace("sendrecv", "sendonly"))
    await rig.conversation.saw(HoldChanged(True))
    await call.bye()


async def test_update_refreshes_or_renegotiates(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    assert await call.request("UPDATE") == SipReply(200, "OK")
    reply = await call.request("UPDATE", OFFER.replace("sendrecv", "sendonly"))
    assert (reply.status, direction(reply.body)) == (200, "recvonly")
    await call.bye()


async def test_update_with_an_offer_before_the_answer_is_put_off(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    await rig.conversation.leg()
    reply = await call.request("UPDATE", OFFER)
    assert (reply.status, "retry-after" in reply.headers) == (500, True)
    await call.cancel()
    await rig.quiet()


@pytest.mark.parametrize(
    ("content_type", "body", "status", "digit"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", 200, "5"),
        ("application/dtmf-relay", "Signal= #\r\nDuration= 250\r\n", 200, "#"),
        ("application/dtmf-relay", "signal=10", 200, "*"),
        ("application/dtmf-relay; charset=utf-8", "Duration=90\nSignal=D", 200, "D"),
        ("application/dtmf", "7", 200, "7"),
        ("application/dtmf", "11", 200, "#"),
        ("application/dtmf-relay", "Signal=!", 400, None),
        ("application/dtmf", "77", 400, None),
        ("application/media_control+xml", "<x/>", 415, None),
        ("", "", 200, None),
    ],
)
async def test_info_carries_keys(rig: Rig, content_type: str, body: str, status: int, digit: str | None) -> None:
    await rig.connect()
    call = await rig.answered()
    assert (await call.info(body, content_type)).status == status
    if digit is not None:
        await rig.conversation.saw(DigitReceived(digit))
    assert (await call.bye()).status == 200
    await rig.conversation.ended()
    assert [event for event in rig.conversation.events if isinstance(event, DigitReceived)] == (
        [DigitReceived(digit)] if digit else []
    )


@pytest.mark.parametrize(
    ("method", "status", "header"),
    [
        ("OPTIONS", 200, "allow"),
        ("REFER", 405, "allow"),
        ("MESSAGE", 405, "allow"),
        ("SUBSCRIBE", 405, "allow"),
        ("WHATEVER", 501, "allow"),
        ("NOTIFY", 489, "allow-events"),
    ],
)
async def test_every_other_request_gets_a_reply_at_once(rig: Rig, method: str, status: int, header: str) -> None:
    await rig.connect()
    call = await rig.answered()
    reply = await call.request(method)
    assert reply.status == status
    assert header in reply.headers
    await call.bye()


async def test_duplicated_and_late_requests_are_replied_to_once(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    rig.opensips.events.faults = type(rig.opensips.events.faults)(duplicate=1.0)
    for digit in "123":
        assert (await call.info(f"Signal={digit}")).status == 200
    await rig.conversation.saw(DigitReceived("3"))
    await call.bye()
    await rig.conversation.ended()
    digits = [event.digit for event in rig.conversation.events if isinstance(event, DigitReceived)]
    assert digits == ["1", "2", "3"]


async def test_requests_one_on_top_of_the_other_all_get_replies(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    replies = await asyncio.gather(*(call.request("OPTIONS") for _ in range(3)))
    # OpenSIPS itself refuses those that come while the first one waits for us.
    assert sorted(reply.status for reply in replies) == [200, 500, 500]
    assert (await call.request("OPTIONS")).status == 200
    await call.bye()


async def test_session_that_opensips_forgets_to_free_with_a_bye_is_freed(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    rig.opensips.reply_delay_s = 0.02
    # Its reply is lost, so that the request is still open when the caller hangs up.
    rig.opensips.fail("ua_session_reply", MiFault.LOSE_REQUEST, MiFault.LOSE_REQUEST)
    asking = asyncio.ensure_future(call.request("OPTIONS"))
    await until(lambda: bool(rig.leg(call).dialog._open_requests))
    assert (await call.bye()).status == 200
    assert (await asking).status == 487
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()


async def test_bye_without_an_ack_frees_the_session(rig: Rig) -> None:
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    assert (await call.bye()).status == 200
    await rig.quiet()


async def test_transfer_ends_the_call_once_the_target_has_answered(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    transferring = asyncio.ensure_future(leg.transfer("1002"))
    refer = await call.next_request("REFER")
    assert refer.headers["refer-to"] == "<sip:1002@127.0.0.1>"
    await until(lambda: not transferring.done())
    assert (await call.notify("SIP/2.0 100 Trying")).status == 200
    assert not transferring.done()
    assert (await call.notify("SIP/2.0 200 OK", "terminated;reason=noresource")).status == 200
    await transferring
    assert await rig.conversation.ended() is EndReason.TRANSFERRED
    await call.next_request("BYE")
    await rig.quiet()


async def test_phone_that_hangs_up_itself_has_been_transferred(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    transferring = asyncio.ensure_future(leg.transfer("sip:bob@example.org"))
    await call.next_request("REFER")
    await call.notify("SIP/2.0 100 Trying")
    await call.bye()
    await transferring
    assert await rig.conversation.ended() is EndReason.TRANSFERRED
    await rig.quiet()


@pytest.mark.parametrize(
    ("sipfrag", "state"),
    [("SIP/2.0 486 Busy Here", "terminated"), ("", "terminated;reason=timeout"), ("SIP/2.0 603 Decline", "active")],
)
async def test_failed_transfer_leaves_the_call_up(rig: Rig, sipfrag: str, state: str) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    transferring = asyncio.ensure_future(leg.transfer("sip:bob@example.org"))
    await call.next_request("REFER")
    await call.notify(sipfrag, state)
    with pytest.raises(TransferFailed):
        await transferring
    assert (await call.info("Signal=1")).status == 200
    # The last word may come once more, when nobody waits for it.
    assert (await call.notify(sipfrag, state)).status == 200
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


async def test_refused_and_impossible_transfers_leave_the_call_up(rig: Rig) -> None:
    await rig.connect(transfer_timeout_s=0.2)
    call = await rig.answered()
    leg = await rig.conversation.leg()
    call.answers["REFER"] = SipReply(603, "Decline")
    with pytest.raises(TransferFailed, match="603"):
        await leg.transfer("sip:bob@example.org")
    with pytest.raises(TransferFailed, match="no sip"):
        await leg.transfer("sip:bob@example.org>\r\nEvil: yes")
    call.answers["REFER"] = SipReply(202, "Accepted")
    with pytest.raises(TransferFailed, match="in time"):
        await leg.transfer("sip:bob@example.org")
    rig.opensips.fail("ua_session_update", MiFault.REFUSE)
    with pytest.raises(TransferFailed, match="ua_session_update"):
        await leg.transfer("sip:bob@example.org")
    await call.bye()
    await rig.conversation.ended()
    with pytest.raises(CallEnded):
        await leg.transfer("sip:bob@example.org")


async def test_transfer_that_meets_a_request_of_the_phones_is_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.transports.opensips.transfer._GLARE_WAIT_MAX_S", 0.01)
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    call.answers["REFER"] = SipReply(491, "Request Pending")
    transferring = asyncio.ensure_future(leg.transfer("sip:bob@example.org"))
    await call.next_request("REFER")
    call.answers["REFER"] = SipReply(202, "Accepted")
    await until(lambda: len(call.received) == 2)
    await call.notify("SIP/2.0 200 OK", "terminated")
    await transferring
    await rig.quiet()


async def test_hang_up_by_the_operator_ends_a_transfer(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    leg = await rig.conversation.leg()
    transferring = asyncio.ensure_future(leg.transfer("sip:bob@example.org"))
    await call.next_request("REFER")
    await call.notify("SIP/2.0 100 Trying")
    await leg.hang_up(EndReason.OPERATOR)
    with pytest.raises(CallEnded):
        await transferring
    assert await rig.conversation.ended() is EndReason.OPERATOR
    await rig.quiet()


async def test_invite_without_an_offer_gets_ours_and_the_ack_is_its_answer(rig: Rig) -> None:
    await rig.connect(codecs=("PCMU", "G722"))
    call = rig.opensips.invite(None)
    reply = await call.final()
    assert reply.status == 200
    assert "m=audio" in reply.body
    assert "G722" not in reply.body
    leg = await rig.conversation.leg()
    call.ack(OFFER)
    await until(lambda: rig.leg(call).dialog.state is DialogState.CONFIRMED)
    assert leg.sample_rate_hz == 8000
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


async def test_the_sample_rate_of_a_call_never_changes(rig: Rig) -> None:
    await rig.connect(codecs=("PCMU", "G722"))
    wide = OFFER.replace("RTP/AVP 0 101", "RTP/AVP 9 0 101")
    call = rig.opensips.invite(wide)
    assert "RTP/AVP 9" in (await call.final()).body
    call.ack()
    leg = await rig.conversation.leg()

    assert (await call.reinvite(OFFER)).status == 488

    assert leg.sample_rate_hz == 16000
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


@pytest.mark.parametrize("answer", ["", "nonsense", OFFER.replace("RTP/AVP", "RTP/SAVP")])
async def test_unusable_answer_to_our_offer_is_hung_up_on(rig: Rig, answer: str) -> None:
    await rig.connect()
    call = rig.opensips.invite(None)
    assert (await call.final()).status == 200
    call.ack(answer)
    await call.next_request("BYE")
    await rig.quiet()


async def test_no_answer_to_our_offer_is_hung_up_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "ACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(release_module, "_ACK_BEFORE_BYE_S", 0.01)
    await rig.connect()
    call = rig.opensips.invite(None)
    assert (await call.final()).status == 200
    await call.next_request("BYE")
    await rig.quiet()
    assert isinstance(rig.conversation.errors[0], SignallingError | CallEnded)


@pytest.mark.parametrize("fault", [MiFault.LOSE_REQUEST, MiFault.LOSE_REPLY, MiFault.LATE_REPLY])
async def test_answer_survives_one_lost_datagram(rig: Rig, fault: MiFault) -> None:
    await rig.connect()
    rig.opensips.fail("ua_session_reply", fault)
    call = await rig.answered()
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP


async def test_ack_proves_the_answer_whatever_became_of_the_commands_reply(rig: Rig) -> None:
    await rig.connect()
    rig.opensips.fail("ua_session_reply", MiFault.LOSE_REPLY, MiFault.LOSE_REPLY)
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    call.ack()
    await until(lambda: rig.leg(call).dialog.state is DialogState.CONFIRMED)
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    assert rig.conversation.errors == []


async def test_answer_that_opensips_never_takes_ends_the_call_and_frees_the_session(rig: Rig) -> None:
    await rig.connect()
    rig.opensips.fail("ua_session_reply", MiFault.LOSE_REQUEST, MiFault.LOSE_REQUEST)
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 500
    await rig.quiet()
    assert isinstance(rig.conversation.errors[0], SignallingError)


async def test_session_whose_release_fails_is_freed_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.transports.opensips.orphans._RETRY_S", 0.05)
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    await rig.conversation.leg()
    rig.opensips.fail("ua_session_terminate", *[MiFault.LOSE_REQUEST] * 4)
    await call.cancel()
    assert (await call.final()).status == 487
    await rig.quiet()
    assert rig.transport.orphans.freed == 1


async def test_request_that_comes_as_we_hang_up_is_refused(rig: Rig) -> None:
    rig.opensips.report_ack = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    await call.final()
    call.ack()
    leg = await rig.conversation.leg()
    dialog = rig.leg(call).dialog
    await until(lambda: dialog.state is DialogState.ANSWERED)
    asking = asyncio.ensure_future(call.request("OPTIONS"))
    await until(lambda: bool(dialog._waiting) or asking.done())
    await leg.hang_up(EndReason.IDLE)
    assert (await asking).status in (200, 481)
    await rig.quiet()


async def test_ringing_that_cannot_be_sent_costs_no_call(rig: Rig) -> None:
    await rig.connect(ringing=True)
    rig.opensips.fail("ua_session_reply", MiFault.REFUSE)
    call = await rig.answered()
    assert call.provisional == []
    await call.bye()


async def test_missing_ack_of_a_session_that_is_gone_ends_the_call(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "ACK_TIMEOUT_S", 0.05)
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    rig.opensips.sessions.clear()
    assert await rig.conversation.ended() is EndReason.SIGNALLING_LOST
    await rig.quiet()


async def test_missing_ack_is_asked_about_until_opensips_answers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "ACK_TIMEOUT_S", 0.02)
    rig.opensips.report_ack = False
    await rig.connect(mi_timeout_s=0.05)
    rig.opensips.fail("ua_session_list", *[MiFault.LOSE_REQUEST] * 4)
    call = rig.opensips.invite(OFFER)
    assert (await call.final()).status == 200
    call.ack()
    await until(lambda: rig.leg(call).dialog.state is DialogState.CONFIRMED)
    await call.bye()
    await rig.quiet()


async def test_flood_of_requests_is_bounded(rig: Rig) -> None:
    await rig.connect()
    call = await rig.answered()
    assert call.session is not None
    for number in range(10, 210):
        headers = f"To: <sip:echo@h>;tag={call.key}\r\nCSeq: {number} OPTIONS\r\n"
        rig.opensips.raise_session_event(call.session, "UPDATED", "OPTIONS", headers=headers)
    await until(lambda: rig.leg(call).dialog.counters.overflows > 0)
    assert (await call.bye()).status == 200
    await rig.quiet()


async def test_events_that_mean_nothing_are_counted(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    await rig.conversation.leg()
    assert call.session is not None
    rig.opensips.raise_session_event(call.session, "UPDATED", "ACK")
    rig.opensips.raise_session_event(call.session, "EARLY", "INFO", status=183)
    rig.opensips.raise_session_event(call.session, "ANSWERED", "INFO", status=200)
    rig.opensips.raise_session_event(call.session, "SOMETHING", "INFO")
    counters = rig.leg(call).dialog.counters
    await until(lambda: (counters.unexpected, counters.duplicates) == (2, 1))
    await call.cancel()
    await rig.quiet()
