"""What one call hears, from datagrams to events."""

import math
from random import Random

import pytest

from core.audio.codecs import create_codec
from core.leg import AudioReceived, DigitReceived
from core.media.inbox import MediaInactive
from core.media.settings import MediaSettings
from core.rtp.dtmf import key_payloads
from core.rtp.packet import RtpPacket
from tests.core.media.call import Call, packet, parameters

VOICE = b"\x55" * 160
VOICE_PCM = create_codec("PCMU").decode(VOICE)
NAT = ("198.51.100.9", 1234)


def connected(settings: MediaSettings | None = None) -> Call:
    call = Call(settings)
    call.connect()
    return call


async def heard(call: Call) -> list[AudioReceived]:
    """The caller's audio, without what stands in for it."""
    return [audio for audio in await call.audio() if not audio.concealed]


def seconds(audio: list[AudioReceived]) -> float:
    return sum(len(event.pcm) for event in audio) / 16_000


async def test_audio_is_passed_on_as_it_comes_with_the_time_of_its_arrival() -> None:
    call = connected()
    call.arrive(packet(1), late_s=0.005)
    arrived_at_s = call.clock.now - 0.005
    call.turn()
    assert await call.events() == [AudioReceived(VOICE_PCM, arrived_at_s)]


async def test_packets_that_overtook_each_other_come_in_order() -> None:
    call = connected()
    for number in (1, 3, 2, 4):
        call.arrive(packet(number, payload=bytes([number]) * 160))
    call.turn()
    codec = create_codec("PCMU")
    assert [event.pcm for event in await heard(call)] == [codec.decode(bytes([n]) * 160) for n in (1, 2, 3, 4)]
    assert call.stream.statistics().packets_lost == 0


async def test_lost_packets_are_concealed_so_that_time_stays_true() -> None:
    call = connected()
    for number in range(1, 101):
        if number % 10:
            call.arrive(packet(number))
        call.turn()
    call.turn(2)
    audio = await call.audio()
    assert sum(event.concealed for event in audio) >= 9
    assert seconds(audio) == pytest.approx(2.0, abs=0.061)
    assert call.stream.statistics().packets_lost == 9
    concealed = next(event for event in audio if event.concealed and seconds([event]) == 0.02)
    assert any(concealed.pcm)


async def test_duplicates_are_heard_once() -> None:
    call = connected()
    for number in range(20):
        call.arrive(packet(number))
        call.arrive(packet(number))
        call.turn()
    assert seconds(await heard(call)) == pytest.approx(0.4)
    assert call.stream.statistics().packets_duplicated == 20


async def test_a_packet_that_comes_after_all_is_late_and_not_heard() -> None:
    call = connected()
    call.talk(range(5))
    call.talk(range(6, 16))
    call.arrive(packet(5))
    call.turn()
    statistics = call.stream.statistics()
    assert (statistics.packets_late, statistics.packets_lost) == (1, 0)
    assert len(await heard(call)) == 15


async def test_a_source_that_starts_anew_under_another_ssrc_is_heard_on() -> None:
    call = connected()
    call.talk(range(100, 110), ssrc=7)
    call.talk(range(60_000, 60_010), ssrc=8)
    call.turn()
    assert len(await heard(call)) == 20


async def test_padding_extension_and_contributing_sources_are_no_audio() -> None:
    call = connected()
    full = RtpPacket(0, 1, 160, 7, VOICE, csrcs=(1, 2, 3), extension=(0xBEDE, bytes(8))).serialise()
    padded = bytes([full[0] | 0x20]) + full[1:] + b"\x00\x00\x00\x04"
    call.arrive(padded)
    call.turn()
    assert [event.pcm for event in await heard(call)] == [VOICE_PCM]


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\x80", b"\x40" + bytes(171), b"\x8f\x00" + bytes(20), b"\xa0\x00" + bytes(10) + b"\xff", bytes(2048)],
)
async def test_what_is_no_rtp_is_counted_and_dropped(datagram: bytes) -> None:
    call = connected()
    call.arrive(datagram)
    call.turn()
    assert await heard(call) == []
    assert call.stream.counters.malformed == 1
    assert call.stream.statistics().packets_discarded == 1


async def test_payload_types_nobody_agreed_on_are_counted_and_dropped() -> None:
    call = connected()
    call.arrive(packet(1, payload_type=18))
    call.turn()
    assert await heard(call) == []
    assert call.stream.counters.unknown_payload == 1


async def test_packets_from_elsewhere_are_counted_and_dropped() -> None:
    call = connected()
    call.talk(range(5))
    for number in range(1000, 1010):
        call.arrive(packet(number, ssrc=9), NAT)
        call.turn()
    assert len(await heard(call)) == 5
    assert call.stream.counters.foreign == 10


async def test_a_re_negotiation_lets_the_caller_come_from_elsewhere() -> None:
    call = connected()
    call.talk(range(5))
    call.connect(parameters(call.parameters.codec, remote=NAT))
    call.arrive(packet(5), NAT)
    call.turn()
    assert len(await heard(call)) == 6


async def test_time_goes_on_by_the_clock_while_nothing_comes() -> None:
    call = connected()
    call.talk(range(10))
    call.turn(100)
    audio = await call.audio()
    assert seconds(audio) == pytest.approx(2.2, abs=0.081)
    stand_ins = [event for event in audio if event.concealed]
    # Concealment first, then silence.
    assert any(stand_ins[0].pcm)
    assert not any(b"".join(event.pcm for event in stand_ins[4:]))
    assert call.stream.counters.filled_ms == pytest.approx(seconds(stand_ins) * 1000)


async def test_after_a_pause_time_is_exact_again() -> None:
    call = connected()
    call.talk(range(10))
    call.turn(90)
    call.arrive(packet(10, timestamp=160 * 100))
    call.turn()
    assert seconds(await call.audio()) == pytest.approx(101 * 0.02, abs=0.001)


async def test_comfort_noise_is_silence_at_once() -> None:
    call = connected()
    call.talk(range(10))
    call.arrive(packet(10, payload_type=13, payload=b"\x28"))
    call.turn(20)
    stand_ins = [event for event in await call.audio() if event.concealed]
    assert stand_ins
    assert not any(b"".join(event.pcm for event in stand_ins))


async def test_a_key_is_told_once_however_many_packets_tell_it() -> None:
    call = connected()
    call.talk(range(3))
    for number, payload in enumerate(key_payloads("#", 100, 20), 3):
        call.arrive(packet(number, payload_type=101, payload=payload, timestamp=480))
        call.turn()
    call.turn()
    events = await call.events()
    assert [event for event in events if isinstance(event, DigitReceived)] == [DigitReceived("#")]


async def test_a_key_is_told_once_though_most_of_its_packets_are_lost() -> None:
    call = connected()
    call.talk(range(3))
    last = key_payloads("7", 100, 20)[-1]
    call.arrive(packet(9, payload_type=101, payload=last, timestamp=480))
    call.turn(5)
    assert DigitReceived("7") in await call.events()


async def test_a_key_too_short_to_be_one_is_malformed() -> None:
    call = connected()
    call.arrive(packet(1, payload_type=101, payload=b"\x01"))
    call.turn()
    assert call.stream.counters.malformed == 1


async def test_silence_on_the_wire_is_told_and_told_again() -> None:
    call = connected(MediaSettings(inactivity_s=1.0))
    call.talk(range(5))
    call.turn(125)
    inactive = [event for event in await call.events() if isinstance(event, MediaInactive)]
    assert [event.silent_for_s for event in inactive] == pytest.approx([1.0, 2.0], abs=0.04)


async def test_a_call_on_hold_may_be_silent_for_longer() -> None:
    call = connected(MediaSettings(inactivity_s=1.0, hold_inactivity_s=3.0))
    call.connect(parameters(call.parameters.codec, sending=False, receiving=False))
    call.turn(149)
    assert not [event for event in await call.events() if isinstance(event, MediaInactive)]
    call.turn(2)
    assert [event for event in await call.events() if isinstance(event, MediaInactive)]


async def test_a_caller_who_comes_back_is_active() -> None:
    call = connected(MediaSettings(inactivity_s=1.0))
    call.turn(45)
    call.talk(range(3))
    call.turn(45)
    assert not [event for event in await call.events() if isinstance(event, MediaInactive)]


async def test_a_reader_who_stays_away_loses_the_oldest_and_it_is_counted() -> None:
    call = connected()
    for number in range(400):
        call.arrive(packet(number, payload=bytes([number % 100]) * 160))
        call.turn()
    audio = await call.audio()
    assert len(audio) == 250
    assert call.stream.counters.events_dropped == 150
    assert audio[-1].pcm == create_codec("PCMU").decode(bytes([399 % 100]) * 160)


@pytest.mark.parametrize("payload_ms", [10, 20, 30, 60])
async def test_packets_of_any_usual_length_are_heard(payload_ms: int) -> None:
    call = connected()
    for number in range(60):
        if number * 20 % payload_ms == 0 or payload_ms == 30:
            index = number * 20 // payload_ms
            call.arrive(packet(index, payload=b"\x55" * 8 * payload_ms, timestamp=8 * payload_ms * index))
        if payload_ms == 10:
            index = 2 * number + 1
            call.arrive(packet(index, payload=b"\x55" * 80, timestamp=80 * index))
        call.turn()
    assert seconds(await heard(call)) == pytest.approx(1.2, abs=0.031)
    assert call.stream.statistics().packets_lost == 0


async def test_a_flood_is_read_away_in_portions() -> None:
    call = connected()
    for number in range(300):
        call.arrive(packet(number, ssrc=5), NAT)
    call.arrive(packet(1))
    call.turn()
    assert len(call.rtp.waiting) == 301 - 256
    call.turn()
    assert len(call.rtp.waiting) == 0


async def test_audio_survives_jitter_reorder_and_loss() -> None:
    random = Random(20)
    call = connected()
    codec = create_codec("PCMU")
    sent = [
        codec.encode(
            b"".join(
                int(8000 * math.sin(2 * math.pi * 440 * (160 * n + i) / 8000)).to_bytes(2, "little", signed=True)
                for i in range(160)
            )
        )
        for n in range(200)
    ]
    arrivals = sorted((n * 0.02 + random.uniform(0, 0.03), n) for n in range(200) if random.random() > 0.02)
    start = call.clock.now
    for _ in range(205):
        while arrivals and start + arrivals[0][0] <= call.clock.now:
            _, number = arrivals.pop(0)
            call.arrive(packet(number, payload=sent[number]))
        call.turn()
    audio = await call.audio()
    assert seconds(audio) == pytest.approx(4.05, abs=0.06)
    statistics = call.stream.statistics()
    assert 0 < statistics.packets_lost < 10
    assert statistics.packets_late == 0
    assert 3.5 < statistics.mos < 4.4
    assert 3 < statistics.jitter_ms < 20
