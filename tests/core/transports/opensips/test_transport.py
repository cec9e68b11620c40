"""Whole calls through the stand-in."""

from core.leg import EndReason
from tests.core.transports.opensips.conftest import OFFER, Rig


async def test_call_is_answered_acknowledged_and_ended_by_the_caller(rig: Rig) -> None:
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    reply = await call.final()
    assert reply.status == 200
    assert "m=audio" in reply.body
    call.ack()
    assert (await call.bye()).status == 200
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    await rig.quiet()
