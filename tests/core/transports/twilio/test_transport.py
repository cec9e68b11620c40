"""Calls through Twilio, from the webhook to the end."""

from core.audio.codec import Pcmu
from core.leg import AudioReceived
from tests.core.transports.twilio.rig import CALL_SID, Rig, tone


async def test_call_has_audio_both_ways(rig: Rig) -> None:
    phone, leg = await rig.call(From="sip:alice@example.com", To="+15550199")
    assert (leg.info.call_id, leg.info.caller, leg.info.called) == (CALL_SID, "alice", "+15550199")
    await phone.speak(tone())
    event = await leg.receive()
    assert isinstance(event, AudioReceived)
    assert event.pcm == Pcmu().decode(tone())
    await leg.play(Pcmu().decode(tone()) * 5)
    while leg.queued_ms:
        await phone.speak()
        await leg.receive()
    assert leg.played_ms == 100
    assert bytes(phone.heard) == tone() * 5
