"""A stream as its call uses it."""

import asyncio
import math

import pytest

from core.audio.codecs import create_codec
from core.audio.levels import snr_db, tone_dbfs
from core.errors import CallEnded
from core.leg import AudioReceived
from core.media.handover import Handover
from core.rtp.packet import RtpPacket
from tests.core.media.call import Call, packet, parameters


def tone(frequency_hz: float, samples: int, sample_rate_hz: int = 8000) -> bytes:
    turns = 2 * math.pi * frequency_hz / sample_rate_hz
    return b"".join(round(12_000 * math.sin(turns * n)).to_bytes(2, "little", signed=True) for n in range(samples))


async def test_a_reader_that_waits_is_woken_by_the_wheel() -> None:
    call = Call()
    call.connect()
    reading = asyncio.create_task(call.stream.receive())
    await asyncio.sleep(0)
    call.arrive(packet(1))
    call.turn()
    event = await asyncio.wait_for(reading, 1)
    assert isinstance(event, AudioReceived)


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    call = Call()
    call.connect()
    reading = asyncio.create_task(call.stream.receive())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    call.arrive(packet(1))
    call.turn()
    assert len(await call.audio()) == 1


async def test_audio_survives_the_wrap_of_number_and_timestamp_both_ways() -> None:
    """65,500 upwards and 2**32 upwards, compared by tone and by signal to noise."""
    call = Call(seed=5)
    call.connect()
    # As if this side, too, had been sending for 21 minutes.
    call.stream.wire._outbound.sender._sequence_number = 65_500
    call.stream.wire._outbound.sender.timestamp = 2**32 - 20 * 160
    codec = create_codec("PCMU")
    theirs, ours = tone(440, 160 * 100), tone(1000, 160 * 100)
    heard = b""
    for n in range(100):
        payload = codec.encode(theirs[320 * n : 320 * (n + 1)])
        call.arrive(packet(65_500 + n, payload=payload, timestamp=2**32 - 50 * 160 + 160 * n))
        await call.stream.play(ours[320 * n : 320 * (n + 1)])
        call.turn()
        heard += b"".join(event.pcm for event in await call.audio())
    spoken = b"".join(codec.decode(sent.payload) for sent in call.sent)
    assert {65_535, 0} <= {sent.sequence_number for sent in call.sent}
    assert any(sent.timestamp < 160 for sent in call.sent)
    assert len(heard) == len(theirs)
    assert snr_db(theirs, heard) > 30
    assert snr_db(ours, spoken) > 30
    assert tone_dbfs(heard, 440, 8000) > -12
    assert tone_dbfs(spoken, 1000, 8000) > -12
    assert call.stream.statistics().packets_lost == 0


async def test_g722_is_heard_and_spoken_at_16_khz() -> None:
    call = Call()
    codec = create_codec("G722")
    call.connect(parameters(codec, payload_type=9))
    ours = tone(1000, 320 * 50, 16_000)
    far_end = create_codec("G722")
    heard = b""
    for n in range(50):
        payload = far_end.encode(ours[640 * n : 640 * (n + 1)])
        call.arrive(packet(n, payload=payload, payload_type=9))
        await call.stream.play(ours[640 * n : 640 * (n + 1)])
        call.turn()
        heard += b"".join(event.pcm for event in await call.audio())
    assert len(heard) == len(ours)
    assert tone_dbfs(heard, 1000, 16_000) > -14
    decoder = create_codec("G722")
    spoken = b"".join(decoder.decode(sent.payload) for sent in call.sent)
    assert tone_dbfs(spoken, 1000, 16_000) > -14


async def test_what_is_sent_and_heard_is_counted() -> None:
    call = Call()
    call.connect()
    call.talk(range(50))
    statistics = call.stream.statistics()
    assert (statistics.packets_sent, statistics.packets_received, statistics.packets_lost) == (50, 50, 0)
    assert statistics.jitter_ms == pytest.approx(0, abs=0.2)
    assert statistics.mos == pytest.approx(4.4, abs=0.05)


async def test_loss_lowers_the_estimate_of_quality() -> None:
    call = Call()
    call.connect()
    for number in range(200):
        if number % 5:
            call.arrive(packet(number))
        call.turn()
    assert 1 < call.stream.statistics().mos < 3.2


async def test_a_call_that_heard_nothing_has_no_quality() -> None:
    call = Call()
    call.connect()
    call.turn(10)
    assert call.stream.statistics().mos == 0


async def test_closing_ends_every_wait_and_every_later_call() -> None:
    call = Call()
    call.connect()
    reading = asyncio.create_task(call.stream.receive())
    playing = asyncio.create_task(call.stream.play(bytes(320 * 50)))
    await asyncio.sleep(0.01)
    call.stream.close()
    for waiting in (reading, playing, call.stream.receive(), call.stream.play(bytes(320))):
        with pytest.raises(CallEnded):
            await asyncio.wait_for(waiting, 1)
    with pytest.raises(CallEnded):
        call.stream.send_digits("1")
    with pytest.raises(CallEnded):
        call.connect()
    call.stream.clear()
    assert call.rtp.closed
    assert call.rtcp.closed


async def test_a_closed_stream_still_tells_what_it_counted() -> None:
    call = Call()
    call.connect()
    call.talk(range(5))
    call.stream.close()
    assert call.stream.statistics().packets_received == 5


async def test_it_closes_once_and_rides_no_longer() -> None:
    call = Call()
    call.connect()
    call.stream.close()
    call.stream.close()
    assert call.closed == [call.stream]
    assert len(call.wheel) == 0
    call.stream.wire.send(call.clock.now)
    assert call.stream.wire.receive_due(call.clock.now, Handover()) == 0


async def test_a_fault_within_a_call_ends_that_call(caplog: pytest.LogCaptureFixture) -> None:
    call, other = Call(), Call()
    other.wheel = call.wheel
    call.connect()
    reading = asyncio.create_task(call.stream.receive())
    await asyncio.sleep(0)

    def broken() -> bytes:
        raise ZeroDivisionError

    call.stream.wire._outbound.next_packet = broken  # type: ignore[method-assign]
    call.turn()
    with pytest.raises(CallEnded):
        await asyncio.wait_for(reading, 1)
    assert call.closed == [call.stream]
    assert [record.message for record in caplog.records] == ["media stream failed"]


async def test_an_address_that_is_no_ipv4_literal_leaves_the_stream_as_it_was() -> None:
    call = Call()
    call.connect()
    with pytest.raises(OSError, match="illegal"):
        call.stream.connect(parameters(remote=("::1", 4000)))
    call.turn()
    assert len(call.sent) == 1


async def test_the_sockets_are_read_shortly_after_packets_usually_come() -> None:
    call = Call()
    call.connect()
    for number in range(60):
        # Each has waited 13 ms when the call's turn comes.
        call.arrive(packet(number), late_s=0.013)
        call.turn()
    occupied = [slot for slot, riders in enumerate(call.wheel._receivers) if riders]
    assert occupied == [3]
    assert [slot for slot, riders in enumerate(call.wheel._senders) if riders] == [0]


def test_a_stream_belongs_to_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Call()


async def test_packets_of_ours_parse_as_what_they_are() -> None:
    call = Call()
    call.connect()
    call.turn()
    again = RtpPacket.parse(call.rtp.sent[0][0])
    assert (again.payload_type, len(again.payload), again.csrcs, again.extension) == (0, 160, (), None)
