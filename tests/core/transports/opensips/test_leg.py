"""The leg as the conversation sees it: audio, keys, silence and the end."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from core.errors import CallEnded, CallRefused, PortsExhausted
from core.leg import AudioReceived, CallLeg, EndReason, LegEnded, LegStatistics
from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.rtp.packet import RtpPacket
from tests.core.transports.opensips.rig import OFFER, Rig, until
from tools.caller.opensips import OpenSipsStandIn

LOUD = b"\x00\x20" * 160
MU_LAW_SILENCE = 0xFF


class Phone:
    """A socket that speaks PCMU."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.offer = OFFER.replace("16000", str(self.socket.getsockname()[1]))
        self._number = 0

    def speak(self, answer: str, payload: bytes = b"\x10" * 160) -> None:
        port = re.search(r"m=audio (\d+)", answer)
        assert port is not None
        self._number += 1
        packet = RtpPacket(
            payload_type=0, sequence_number=self._number, timestamp=160 * self._number, ssrc=7, payload=payload
        )
        self.socket.sendto(packet.serialise(), ("127.0.0.1", int(port.group(1))))

    def hears(self) -> list[bytes]:
        """Payloads of the PCMU packets since the last time."""
        heard: list[bytes] = []
        while True:
            try:
                datagram = self.socket.recv(2048)
            except BlockingIOError:
                return heard
            if datagram[1] & 0x7F == 0:
                heard.append(RtpPacket.parse(datagram).payload)


@pytest.fixture
def phone() -> Iterator[Phone]:
    phone = Phone()
    yield phone
    phone.socket.close()


def free_pair() -> int:
    """An even port that nobody has bound, nor the one above it."""
    for port in range(20000 + 2 * (os.getpid() % 4000), 32000, 2):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in (port, port + 1):
                stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", number))
            return port
    raise AssertionError("no pair of ports is free")


@pytest.fixture
async def silent_rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A rig whose media gives up at once, or has no more than one port."""
    given = dict(request.param)
    if given.pop("one_port", False):
        given["rtp_min_port"] = free_pair()
        given["rtp_max_port"] = given["rtp_min_port"] + 1
    plane = MediaPlane(MediaSettings(rtp_bind_ip="127.0.0.1", **given))
    plane.start()
    opensips = OpenSipsStandIn(sip_timeout_s=1.0)
    await opensips.start()
    rig = Rig(opensips, plane)
    await rig.connect()
    yield rig
    await rig.disconnect()
    assert opensips.sessions == {}
    await opensips.stop()
    assert plane.streams == 0
    plane.close()


async def test_audio_flows_both_ways(rig: Rig, phone: Phone) -> None:
    rig.plane.start()
    heard: list[AudioReceived] = []

    async def listen(leg: CallLeg) -> None:
        await leg.play(LOUD)
        while len(heard) < 3:
            event = await leg.receive()
            if isinstance(event, AudioReceived) and not event.concealed:
                heard.append(event)

    rig.conversation.after_answer = listen
    await rig.connect()
    call = rig.opensips.invite(phone.offer)
    answer = (await call.final()).body
    call.ack()
    spoken = 0
    loud: list[bytes] = []
    while spoken < 200 and (len(heard) < 3 or not loud):
        phone.speak(answer)
        spoken += 1
        loud += [payload for payload in phone.hears() if payload[80] != MU_LAW_SILENCE]
        await asyncio.sleep(0.02)
    assert loud
    assert all(len(event.pcm) == 320 for event in heard)
    leg = await rig.conversation.leg()
    assert leg.played_ms == pytest.approx(20)
    assert leg.queued_ms == 0
    leg.clear_playback()
    await leg.send_digits("1")
    with pytest.raises(ValueError, match="key"):
        await leg.send_digits("x")
    await call.bye()
    assert await rig.conversation.ended() is EndReason.CALLER_HUNG_UP
    assert leg.statistics().packets_received >= 3


async def test_what_a_leg_cannot_do_before_the_answer_and_after_the_end(rig: Rig) -> None:
    async def too_early(leg: CallLeg) -> None:
        assert leg.statistics() == LegStatistics()
        assert (leg.queued_ms, leg.played_ms, leg.sample_rate_hz) == (0.0, 0.0, 8000)
        leg.clear_playback()
        for attempt in (leg.play(LOUD), leg.send_digits("1"), leg.transfer("1")):
            with pytest.raises(CallEnded, match="not answered"):
                await attempt

    rig.conversation.before_answer = too_early
    await rig.connect()
    call = await rig.answered()
    await call.bye()
    await rig.conversation.ended()
    leg = await rig.conversation.leg()
    for attempt in (leg.play(LOUD), leg.send_digits("1"), leg.transfer("1"), leg.answer()):
        with pytest.raises(CallEnded):
            await attempt
    assert await leg.receive() == await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP)
    await leg.reject(CallRefused(486, "Busy Here"))
    await leg.hang_up(EndReason.ERROR)
    assert await leg.receive() == LegEnded(EndReason.CALLER_HUNG_UP)


async def test_waiting_play_ends_with_the_call(rig: Rig) -> None:
    async def play_for_ever(leg: CallLeg) -> None:
        while True:
            await leg.play(LOUD)

    rig.conversation.after_answer = play_for_ever
    await rig.connect()
    call = await rig.answered()
    await call.bye()
    await rig.quiet()
    assert isinstance(rig.conversation.errors[0], CallEnded)


@pytest.mark.parametrize(
    "silent_rig", [{"rtp_min_port": 20000, "rtp_max_port": 32000, "inactivity_s": 0.1}], indirect=True
)
async def test_caller_that_sends_nothing_at_all_is_hung_up_on(silent_rig: Rig) -> None:
    call = silent_rig.opensips.invite(OFFER)
    await call.final()
    call.ack()
    assert await silent_rig.conversation.ended() is EndReason.MEDIA_TIMEOUT
    await call.next_request("BYE")
    await silent_rig.quiet()


@pytest.mark.parametrize("silent_rig", [{"one_port": True}], indirect=True)
async def test_call_without_a_port_is_refused_for_a_while(silent_rig: Rig) -> None:
    first = await silent_rig.answered()
    reply = await silent_rig.opensips.invite(OFFER).final()
    assert (reply.status, reply.headers["retry-after"]) == (503, "10")
    assert isinstance(silent_rig.conversation.errors[0], PortsExhausted)
    await first.bye()
    await silent_rig.quiet()


async def test_bad_offers_cost_no_port(rig: Rig) -> None:
    await rig.connect()
    free = rig.plane.ports.available
    assert (await rig.opensips.invite(OFFER.replace("RTP/AVP 0 101", "RTP/AVP 18")).final()).status == 488
    await rig.quiet()
    assert rig.plane.ports.available == free


async def test_advertised_address_is_what_the_caller_is_told(rig: Rig) -> None:
    await rig.connect(advertised_ip="203.0.113.7")
    call = rig.opensips.invite(OFFER)
    assert "c=IN IP4 203.0.113.7" in (await call.final()).body
    call.ack()
    await call.bye()


async def test_otherwise_it_is_the_interface_towards_the_caller(rig: Rig) -> None:
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    assert "c=IN IP4 127.0.0.1" in (await call.final()).body
    call.ack()
    await call.bye()


async def test_offer_in_a_multipart_body_is_found(rig: Rig) -> None:
    await rig.connect()
    body = f"--x\r\nContent-Type: application/sdp\r\n\r\n{OFFER}--x--\r\n"
    call = rig.opensips.invite(body, content_type="multipart/mixed;boundary=x")
    assert (await call.final()).status == 200
    call.ack()
    await call.bye()
    other = rig.opensips.invite("<xml/>", content_type="application/xml")
    refused = await other.final()
    assert (refused.status, refused.headers["accept"]) == (415, "application/sdp")


async def test_cancelled_answer_leaves_nothing(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    leg = await rig.conversation.leg()
    rig.opensips.reply_delay_s = 0.05
    answering = asyncio.ensure_future(leg.answer())
    await until(lambda: rig.opensips.count("ua_session_reply") == 1)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert await rig.conversation.ended() is EndReason.ERROR
    await rig.quiet()
    assert call.hung_up.is_set()
    assert rig.plane.streams == 0


async def test_hang_up_while_answering_ends_in_a_bye(rig: Rig) -> None:
    rig.conversation.answers = False
    await rig.connect()
    call = rig.opensips.invite(OFFER)
    leg = await rig.conversation.leg()
    rig.opensips.reply_delay_s = 0.02
    answering = asyncio.ensure_future(leg.answer())
    await until(lambda: rig.opensips.count("ua_session_reply") == 1)
    await leg.hang_up(EndReason.OPERATOR)
    with pytest.raises(CallEnded):
        await answering
    await asyncio.wait_for(call.hung_up.wait(), 5)
    await rig.quiet()
