"""What a leg does beyond the contract: its stream may change, and the REST API is asked for the rest."""

import asyncio
import contextlib

import pytest
from aiohttp import WSCloseCode

from core.audio.codec import Pcmu
from core.errors import Busy, CallEnded, SignallingError, SignallingRefused, SignallingTimeout, TransferFailed
from core.leg import AudioReceived, CallLeg, DigitReceived, EndReason, LegEnded
from core.transports.twilio.settings import TwilioSettings
from core.transports.twilio.transport import TwilioTransport
from tests.core.transports.twilio.rig import AUTH_TOKEN, CALL_SID, Phone, Rig, running, stream_url, tone

SPEECH = Pcmu().decode(tone())
REFUSED = SignallingRefused("redirect", 21220, "Call is not in-progress")


async def digits_sent(rig: Rig, phone: Phone, leg: CallLeg) -> tuple[asyncio.Future[None], str]:
    """Keys on their way: Twilio has left the stream, and has been told the next one's address."""
    sending = asyncio.ensure_future(leg.send_digits("1#"))
    async with asyncio.timeout(5):
        await rig.control.on_redirect.wait()
    [(call_sid, twiml)] = rig.control.redirected
    assert call_sid == CALL_SID
    assert '<Play digits="1#"/>' in twiml
    await phone.hang_up()
    return sending, stream_url(twiml)


async def test_call_outlives_the_change_of_its_stream_for_keys(rig: Rig) -> None:
    phone, leg = await rig.call()
    await leg.play(SPEECH * 10)
    sending, url = await digits_sent(rig, phone, leg)
    assert bytes(phone.heard) == tone() * 10
    await leg.play(SPEECH)
    assert not sending.done()
    again = await rig.open(url, "MZ2")
    await again.start()
    await sending
    await again.speak(tone())
    event = await asyncio.wait_for(leg.receive(), 5)
    assert isinstance(event, AudioReceived)
    assert event.pcm == SPEECH
    while leg.queued_ms:
        await asyncio.sleep(0.01)
    assert bytes(again.heard) == tone()
    assert leg.played_ms == 220
    await again.press("4")
    assert await leg.receive() == DigitReceived("4")
    await again.hang_up()
    assert await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP)


async def test_next_stream_may_come_before_the_old_one_is_closed(rig: Rig) -> None:
    phone, leg = await rig.call()
    sending = asyncio.ensure_future(leg.send_digits("1"))
    await rig.control.on_redirect.wait()
    again = await rig.open(stream_url(rig.control.redirected[0][1]), "MZ2")
    await again.start()
    await sending
    await phone.hang_up()
    await again.press("4")
    assert await leg.receive() == DigitReceived("4")


async def test_former_stream_that_lingers_has_no_part_in_the_call_any_more() -> None:
    async with running(media_timeout_s=0.4) as rig:
        phone, leg = await rig.call()
        sending = asyncio.ensure_future(leg.send_digits("1"))
        await rig.control.on_redirect.wait()
        again = await rig.open(stream_url(rig.control.redirected[0][1]), "MZ2")
        await again.start()
        await sending
        with contextlib.suppress(ConnectionError):
            await phone.press("9")
        for _ in range(8):
            await again.speak()
            await asyncio.sleep(0.1)
        events = [await leg.receive() for _ in range(8)]
        assert all(isinstance(event, AudioReceived) for event in events)
        await phone.closed()


async def test_silence_of_the_stream_that_is_left_is_not_the_calls() -> None:
    async with running(media_timeout_s=0.2) as rig:
        phone, leg = await rig.call()
        sending = asyncio.ensure_future(leg.send_digits("12"))
        await rig.control.on_redirect.wait()
        await phone.closed()
        again = await rig.open(stream_url(rig.control.redirected[0][1]), "MZ2")
        await again.start()
        await sending
        await again.press("4")
        assert await leg.receive() == DigitReceived("4")


async def test_next_streams_address_holds_for_as_long_as_the_keys_take() -> None:
    async with running(token_lifetime_s=1) as rig:
        phone, leg = await rig.call()
        sending, url = await digits_sent(rig, phone, leg)
        await asyncio.sleep(1.1)
        again = await rig.open(url, "MZ2")
        await again.start()
        await sending


async def test_keys_of_which_twilio_did_not_say_that_it_presses_them_may_be_pressed(rig: Rig) -> None:
    phone, leg = await rig.call()
    rig.control.late = SignallingTimeout("no answer")
    with pytest.raises(SignallingTimeout):
        await leg.send_digits("1")
    await phone.hang_up()
    again = await rig.open(stream_url(rig.control.redirected[0][1]), "MZ2")
    await again.start()
    await again.press("4")
    assert await leg.receive() == DigitReceived("4")


async def test_transfer_of_which_twilio_did_not_say_that_it_was_made_is_not_undone(rig: Rig) -> None:
    phone, leg = await rig.call()
    rig.control.late = SignallingTimeout("no answer")
    with pytest.raises(TransferFailed):
        await leg.transfer("+15550123")
    await phone.hang_up()
    assert isinstance(await leg.receive(), LegEnded)
    rig.handler.over.set()
    await rig.quiet()
    assert rig.control.hung_up == []


async def test_transfer_that_nobody_waits_for_any_more_is_not_undone() -> None:
    async with running(api_timeout_s=0.1, start_timeout_s=0.1) as rig:
        phone, leg = await rig.call()
        rig.control.answering.clear()
        transferring = asyncio.ensure_future(leg.transfer("+15550123"))
        await rig.control.on_redirect.wait()
        await phone.hang_up()
        transferring.cancel()
        async with asyncio.timeout(2):
            assert isinstance(await leg.receive(), LegEnded)
        rig.handler.over.set()
        await rig.quiet()
        assert rig.control.hung_up == []


async def test_stream_that_does_not_come_back_ends_the_call() -> None:
    async with running(start_timeout_s=0.1, api_timeout_s=0.1) as rig:
        phone, leg = await rig.call()
        sending, _ = await digits_sent(rig, phone, leg)
        with pytest.raises(CallEnded):
            await asyncio.wait_for(sending, 5)
        assert await leg.receive() == LegEnded(EndReason.SIGNALLING_LOST, "the stream did not come back")
        rig.handler.over.set()
        await rig.quiet()
        assert rig.control.hung_up == [CALL_SID]


async def test_whoever_hangs_up_may_stop_waiting(rig: Rig) -> None:
    _, leg = await rig.call()
    rig.control.answering.clear()
    hanging_up = asyncio.ensure_future(leg.hang_up(EndReason.AGENT_HUNG_UP))
    assert await leg.receive() == LegEnded(EndReason.AGENT_HUNG_UP)
    hanging_up.cancel()
    await asyncio.wait({hanging_up})
    asked = len(rig.control.hung_up)
    rig.control.answering.set()
    rig.handler.over.set()
    await rig.quiet()
    assert len(rig.control.hung_up) == asked + 1


async def test_twilio_is_asked_to_hang_up_once_though_several_ask(rig: Rig) -> None:
    _, leg = await rig.call()
    rig.control.answering.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(leg.hang_up(EndReason.AGENT_HUNG_UP))
        assert await leg.receive() == LegEnded(EndReason.AGENT_HUNG_UP)
        rig.handler.over.set()
        await asyncio.sleep(0.05)
        rig.control.answering.set()
    await rig.quiet()
    assert rig.control.hung_up == [CALL_SID]


async def test_whoever_sent_keys_may_stop_waiting(rig: Rig) -> None:
    phone, leg = await rig.call()
    sending, url = await digits_sent(rig, phone, leg)
    sending.cancel()
    again = await rig.open(url, "MZ2")
    await again.start()
    await again.press("4")
    assert await leg.receive() == DigitReceived("4")


async def test_caller_may_hang_up_while_keys_are_pressed(rig: Rig) -> None:
    phone, leg = await rig.call()
    sending, _ = await digits_sent(rig, phone, leg)
    assert (await rig.post("/twilio/status", rig.form(CallStatus="completed")))[0] == 204
    with pytest.raises(CallEnded):
        await sending
    assert await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP, "call completed")


async def test_stream_of_another_name_does_not_take_up_the_call(rig: Rig) -> None:
    phone, leg = await rig.call()
    first, url = await digits_sent(rig, phone, leg)
    again = await rig.open(url, "MZ2")
    await again.start()
    await first
    rig.control.on_redirect.clear()
    rig.control.redirected.clear()
    second, url = await digits_sent(rig, again, leg)
    third = await rig.open(url, "MZ3")
    await third.start("CA00000000000000000000000000000009")
    assert await third.closed() == WSCloseCode.POLICY_VIOLATION
    assert not second.done()
    second.cancel()


async def test_keys_that_twilio_refuses_leave_the_call_as_it_is(rig: Rig) -> None:
    phone, leg = await rig.call()
    rig.control.failure = REFUSED
    with pytest.raises(SignallingError):
        await leg.send_digits("1")
    await phone.press("4")
    assert await leg.receive() == DigitReceived("4")
    await leg.send_digits("")
    assert rig.control.redirected == []


async def test_transfer_ends_our_part(rig: Rig) -> None:
    phone, leg = await rig.call()
    await leg.transfer("+1 555 0123")
    assert await leg.receive() == LegEnded(EndReason.TRANSFERRED)
    [(_, twiml)] = rig.control.redirected
    assert "<Number>+15550123</Number>" in twiml
    assert f"{rig.root}/twilio/dialled?direction=inbound" in twiml
    await phone.closed()
    rig.handler.over.set()
    await rig.quiet()
    assert rig.control.hung_up == []


@pytest.mark.parametrize("failure", [REFUSED, SignallingTimeout("no answer")])
async def test_failed_transfer_leaves_the_call_up(rig: Rig, failure: SignallingError) -> None:
    phone, leg = await rig.call()
    rig.control.failure = failure
    with pytest.raises(TransferFailed):
        await leg.transfer("+15550123")
    with pytest.raises(TransferFailed, match="neither"):
        await leg.transfer("the desk")
    await phone.press("4")
    assert await leg.receive() == DigitReceived("4")


async def test_caller_whose_target_does_not_answer_comes_back_as_a_new_call(rig: Rig) -> None:
    phone, leg = await rig.call()
    await leg.transfer("+15550123")
    await phone.closed()
    rig.handler.over.set()
    status, text = await rig.post("/twilio/dialled?agent=garage", rig.form(DialCallStatus="no-answer"))
    assert status == 200
    rig.handler.over.clear()
    again = await rig.open(stream_url(text), "MZ2")
    await again.start()
    info = (await rig.handler.leg()).info
    assert info.parameters == {"agent": "garage", "transfer": "no-answer", "direction": "inbound"}
    assert (info.call_id, info.caller) == (CALL_SID, "+15550100")


@pytest.mark.parametrize(("status", "refusal"), [("completed", None), ("busy", Busy())])
async def test_after_a_transfer_the_call_ends_where_it_cannot_come_back(
    rig: Rig, status: str, refusal: Exception | None
) -> None:
    rig.refusal = refusal
    code, text = await rig.post("/twilio/dialled", rig.form(DialCallStatus=status))
    assert (code, "<Hangup/>" in text) == (200, True)


async def test_hang_up_is_asked_of_twilio_and_closes_the_stream(rig: Rig) -> None:
    phone, leg = await rig.call()
    await leg.hang_up(EndReason.AGENT_HUNG_UP)
    assert rig.control.hung_up == [CALL_SID]
    assert await phone.closed() == WSCloseCode.OK
    rig.handler.over.set()
    await rig.quiet()
    assert rig.control.hung_up == [CALL_SID]


async def test_hang_up_closes_the_stream_though_the_api_fails(rig: Rig) -> None:
    phone, leg = await rig.call()
    rig.control.failure = SignallingTimeout("no answer")
    await leg.hang_up(EndReason.AGENT_HUNG_UP)
    assert await phone.closed() == WSCloseCode.OK


async def test_line_is_silent_no_longer_than_the_stream_takes_to_close_though_the_api_hangs(rig: Rig) -> None:
    phone, leg = await rig.call()
    rig.control.answering.clear()
    hanging_up = asyncio.ensure_future(leg.hang_up(EndReason.AGENT_HUNG_UP))
    assert await phone.closed() == WSCloseCode.OK
    assert not hanging_up.done()
    rig.control.answering.set()
    await hanging_up
    assert rig.control.hung_up == [CALL_SID]


async def test_hang_up_that_fails_in_an_unknown_way_ends_no_other_call(rig: Rig) -> None:
    _, first = await rig.call(CallSid="CA1")
    await rig.call(CallSid="CA2")
    rig.control.failure = RuntimeError("broken")
    rig.handler.over.set()
    await first.hang_up(EndReason.OPERATOR)
    rig.handler.over.clear()
    rig.control.failure = None
    await rig.call(CallSid="CA3")


async def test_without_credentials_calls_are_taken_and_ended_but_not_changed() -> None:
    async with running(credentials=False) as rig:
        phone, leg = await rig.call()
        with pytest.raises(TransferFailed, match="account_sid"):
            await leg.transfer("+15550123")
        with pytest.raises(SignallingError, match="account_sid"):
            await leg.send_digits("1")
        await leg.hang_up(EndReason.AGENT_HUNG_UP)
        assert await phone.closed() == WSCloseCode.OK


@pytest.mark.parametrize("failure", [Busy(), RuntimeError("broken"), SignallingTimeout("slow")])
async def test_handler_that_fails_ends_its_call_only(rig: Rig, failure: Exception) -> None:
    rig.handler.failure = failure
    phone = await rig.open()
    await phone.start()
    expected = WSCloseCode.TRY_AGAIN_LATER if isinstance(failure, Busy) else WSCloseCode.INTERNAL_ERROR
    assert await phone.closed() == expected
    await rig.quiet()
    rig.handler.failure = None
    await rig.call()


async def test_handler_that_returns_ends_its_call(rig: Rig) -> None:
    rig.handler.over.set()
    phone, leg = await rig.call()
    assert await phone.closed() == WSCloseCode.OK
    assert await leg.receive() == LegEnded(EndReason.AGENT_HUNG_UP)


async def test_marks_that_never_come_back_do_not_keep_the_call() -> None:
    async with running(mark_overdue_s=0.1) as rig:
        phone, leg = await rig.call()
        phone.returns_marks = False
        await leg.play(SPEECH * 5)
        async with asyncio.timeout(2):
            while leg.queued_ms:
                await asyncio.sleep(0.01)
        assert leg.played_ms == 100


async def test_interruption_reaches_twilio_and_only_what_was_heard_counts(rig: Rig) -> None:
    phone, leg = await rig.call()
    playing = asyncio.ensure_future(leg.play(SPEECH * 100))
    while leg.played_ms < 100:
        await asyncio.sleep(0.005)
    leg.clear_playback()
    played_ms = leg.played_ms
    await playing
    while not phone.clears:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert leg.played_ms == played_ms
    assert len(phone.heard) / 8 <= played_ms + 120
    await leg.play(SPEECH)
    while leg.queued_ms:
        await asyncio.sleep(0.005)
    assert leg.played_ms == played_ms + 20


async def test_calls_are_placed_at_the_public_address() -> None:
    async with running(public_url="https://voice.example.com/oavc") as rig:
        assert await rig.transport.place("+15550123", "+15550199", {"agent": "garage b"}) == CALL_SID
        assert rig.control.placed == [
            (
                "+15550123",
                "+15550199",
                "https://voice.example.com/oavc/twilio/voice?agent=garage+b",
                "https://voice.example.com/oavc/twilio/status",
            )
        ]
        with pytest.raises(ValueError, match="neither"):
            await rig.transport.place("nobody", "+15550199", {})


async def test_calls_are_not_placed_without_an_address_or_an_account(rig: Rig) -> None:
    with pytest.raises(SignallingError, match="public_url"):
        await rig.transport.place("+15550123", "+15550199", {})
    settings = TwilioSettings.model_validate({"auth_token": AUTH_TOKEN})
    with pytest.raises(SignallingError, match="account_sid"):
        await TwilioTransport(settings, lambda: None, None).place("+15550123", "+15550199", {})


async def test_caller_that_comes_back_waits_until_nothing_is_left_of_the_former_leg(rig: Rig) -> None:
    phone, leg = await rig.call()
    await leg.transfer("+15550123")
    await phone.closed()
    _, text = await rig.post("/twilio/dialled", rig.form(DialCallStatus="busy"))
    opening = asyncio.ensure_future(rig.open(stream_url(text), "MZ2"))
    await asyncio.wait({opening}, timeout=0.1)
    assert not opening.done()
    rig.handler.over.set()
    again = await opening
    rig.handler.over.clear()
    await again.start()
    assert (await rig.handler.leg()).info.parameters["transfer"] == "busy"
