"""The transport, Twilio's own SDK and the caller's Twilio together: what is asked by REST comes back as streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.audio.codec import Pcmu
from core.errors import TransferFailed
from core.leg import AudioReceived, CallLeg, DigitReceived, EndReason, LegEnded
from core.transports.twilio.calls_api import TwilioCalls
from tests.core.transports.twilio.rig import Rig, running, tone
from tools.caller.script import parse_script
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_call import TwilioCall
from tools.caller.twilio_line import TwilioLine

SPEECH = Pcmu().decode(tone())
SCRIPT = parse_script('caller = "+15550100"\ncalled = "+15550199"\n[[step]]\ndo = "hang_up"\n')


@asynccontextmanager
async def called() -> AsyncIterator[tuple[Rig, TwilioStandIn, TwilioCall, CallLeg]]:
    """A call that is up."""
    async with TwilioStandIn() as twilio:
        control = TwilioCalls(twilio.account_sid, twilio.account_sid, twilio.auth_token, twilio.rest.url)
        async with running(auth_token=twilio.auth_token, control=control) as rig:
            with StreamWire() as wire:
                call = await TwilioLine(twilio, wire, AgentAddress(rig.root)).dial(SCRIPT, "+15550100", "+15550199", 0)
                assert await call.answered(5) == 200
                yield rig, twilio, call, await rig.handler.leg()
                await call.close()


async def next_other_than_audio(leg: CallLeg) -> object:
    async with asyncio.timeout(5):
        while isinstance(event := await leg.receive(), AudioReceived):
            pass
    return event


async def play_out(leg: CallLeg) -> None:
    async with asyncio.timeout(5):
        while leg.queued_ms:
            await asyncio.sleep(0.01)


async def test_keys_are_pressed_and_the_conversation_goes_on() -> None:
    async with called() as (_, _, call, leg):
        await leg.play(SPEECH * 10)
        await leg.send_digits("12")
        assert call.digits == "12"
        await leg.play(SPEECH * 5)
        await play_out(leg)
        assert leg.played_ms == 300
        await call.press("7", "info")
        assert await next_other_than_audio(leg) == DigitReceived("7")


async def test_transfer_takes_the_caller_away() -> None:
    async with called() as (rig, twilio, call, leg):
        await leg.transfer("+15550123")
        assert await leg.receive() == LegEnded(EndReason.TRANSFERRED)
        rig.handler.over.set()
        await rig.quiet()
        assert call.transferred_to == "+15550123"
        assert all("Status" not in request.params for request in twilio.rest.requests)


async def test_caller_comes_back_from_a_target_that_is_busy() -> None:
    async with called() as (rig, twilio, _, leg):
        twilio.dial_status = "busy"
        await leg.transfer("sip:desk@example.com")
        rig.handler.over.set()
        again = await rig.handler.leg()
        assert again is not leg
        assert (again.info.caller, again.info.parameters["transfer"]) == ("+15550100", "busy")


async def test_hang_up_ends_the_call_at_twilio() -> None:
    async with called() as (rig, _, call, leg):
        await leg.play(SPEECH * 10)
        await play_out(leg)
        await leg.hang_up(EndReason.AGENT_HUNG_UP)
        rig.handler.over.set()
        await rig.quiet()
        async with asyncio.timeout(2):
            while not call.hung_up:
                await asyncio.sleep(0.01)


async def test_call_that_twilio_has_forgotten_cannot_be_transferred() -> None:
    async with called() as (_, twilio, call, leg):
        twilio.rest.set_status(call.sid, "completed")
        with pytest.raises(TransferFailed):
            await leg.transfer("+15550123")
