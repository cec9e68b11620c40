"""What one call sends, packet by packet."""

import asyncio
import itertools

import pytest

from core.audio.codecs import create_codec
from core.media.datagram_socket import encode_address
from core.media.wheel import PERIOD_S
from core.rtp.sequence import sequence_difference, timestamp_difference
from tests.core.media.call import PCMU_SILENCE, Call, packet, parameters

TONE = b"\x00\x10" * 160
LOUD = create_codec("PCMU").encode(TONE)


async def call_that_plays(frames: int, **agreed: object) -> Call:
    call = Call()
    call.connect(parameters(**agreed))  # type: ignore[arg-type]
    if frames:
        await call.stream.play(TONE * frames)
    return call


async def test_a_packet_goes_out_every_period_whether_there_is_audio_or_not() -> None:
    call = await call_that_plays(2)
    call.turn(5)
    assert [sent.payload for sent in call.sent] == [LOUD, LOUD, PCMU_SILENCE, PCMU_SILENCE, PCMU_SILENCE]
    assert call.rtp.sent[0][1] == encode_address(("192.0.2.7", 40_000))


async def test_nothing_is_sent_before_the_stream_is_connected() -> None:
    call = Call()
    call.turn(5)
    assert call.rtp.sent == []
    with pytest.raises(RuntimeError):
        await call.stream.play(TONE)


async def test_numbers_and_timestamps_go_on_through_silence_and_barge_in() -> None:
    call = await call_that_plays(4)
    call.turn(2)
    call.stream.clear()
    call.turn(3)
    await call.stream.play(TONE)
    call.turn(2)
    for before, after in itertools.pairwise(call.sent):
        assert sequence_difference(after.sequence_number, before.sequence_number) == 1
        assert timestamp_difference(after.timestamp, before.timestamp) == 160
        assert after.ssrc == before.ssrc


async def test_each_talkspurt_begins_with_a_marker() -> None:
    call = await call_that_plays(2)
    call.turn(4)
    await call.stream.play(TONE * 2)
    call.turn(3)
    assert [sent.marker for sent in call.sent] == [True, False, False, False, True, False, False]


async def test_after_clear_the_next_packet_is_silence_within_24_ms() -> None:
    call = await call_that_plays(4)
    call.turn(2)
    # As the caller hears it: from just behind a packet of speech to the next packet.
    cleared_at = call.clock.now - PERIOD_S
    call.stream.clear()
    silent_at = call.clock.now
    call.turn()
    assert [sent.payload for sent in call.sent] == [LOUD, LOUD, PCMU_SILENCE]
    assert silent_at - cleared_at <= 0.024
    assert call.stream.played_ms == 40
    assert call.stream.queued_ms == 0


async def test_a_player_is_woken_as_the_wheel_makes_room() -> None:
    call = await call_that_plays(0)
    playing = asyncio.create_task(call.stream.play(TONE * 10))
    for _ in range(20):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if playing.done():
            break
        call.turn()
    assert playing.done()
    assert call.stream.queued_ms == 80
    assert call.stream.played_ms == 120


async def test_nothing_is_sent_on_hold_and_time_goes_on() -> None:
    call = await call_that_plays(0)
    call.turn(2)
    call.connect(parameters(call.parameters.codec, sending=False, receiving=False))
    call.turn(50)
    assert len(call.sent) == 2
    call.connect(parameters(call.parameters.codec))
    await call.stream.play(TONE)
    call.turn()
    resumed, last = call.sent[-1], call.sent[-2]
    assert sequence_difference(resumed.sequence_number, last.sequence_number) == 1
    assert timestamp_difference(resumed.timestamp, last.timestamp) == 51 * 160
    assert resumed.marker


async def test_a_machine_that_slept_jumps_in_timestamps_and_not_in_numbers() -> None:
    call = await call_that_plays(0)
    call.turn()
    call.clock.now += 60
    call.turn()
    last, first = call.sent[-1], call.sent[0]
    assert sequence_difference(last.sequence_number, first.sequence_number) == len(call.sent) - 1
    assert timestamp_difference(last.timestamp, first.timestamp) == pytest.approx(60.02 * 8000, abs=160)


@pytest.mark.parametrize(("ptime_ms", "packets", "payload_bytes"), [(10, 20, 80), (30, 6, 240), (40, 5, 320)])
async def test_packets_are_as_long_as_agreed_on(ptime_ms: int, packets: int, payload_bytes: int) -> None:
    call = await call_that_plays(0, ptime_ms=ptime_ms)
    call.turn(10)
    assert len(call.sent) == packets
    assert {len(sent.payload) for sent in call.sent} == {payload_bytes}
    steps = {timestamp_difference(b.timestamp, a.timestamp) for a, b in itertools.pairwise(call.sent)}
    assert steps == {ptime_ms * 8}


async def test_a_change_of_codec_changes_payload_and_type_together() -> None:
    call = await call_that_plays(4)
    call.turn(2)
    call.connect(parameters(create_codec("PCMA"), payload_type=8))
    await call.stream.play(TONE)
    call.turn(2)
    assert [sent.payload_type for sent in call.sent] == [0, 0, 8, 8]
    assert call.sent[2].payload == create_codec("PCMA").encode(TONE)
    assert call.sent[3].payload == b"\xd5" * 160


async def test_keys_go_out_as_events_behind_what_is_queued() -> None:
    call = await call_that_plays(2)
    call.stream.send_digits("4#")
    call.turn(30)
    kinds = [sent.payload_type for sent in call.sent]
    # Five packets of the press and two more that repeat its end, then the pause.
    assert kinds[:20] == [0, 0] + [101] * 7 + [0] * 3 + [101] * 7 + [0]
    first, second = call.sent[2:9], call.sent[12:19]
    assert {sent.timestamp for sent in first} == {first[0].timestamp}
    assert [sent.marker for sent in first] == [True] + [False] * 6
    assert [sent.payload[0] for sent in (first[0], second[0])] == [4, 11]
    assert [sent.payload[1] >> 7 for sent in first] == [0, 0, 0, 0, 1, 1, 1]
    numbers = [sent.sequence_number for sent in call.sent]
    assert all(sequence_difference(b, a) == 1 for a, b in itertools.pairwise(numbers))
    assert timestamp_difference(call.sent[-1].timestamp, call.sent[0].timestamp) == 29 * 160


async def test_speech_after_a_key_begins_with_a_marker() -> None:
    call = await call_that_plays(1)
    call.stream.send_digits("1")
    await call.stream.play(TONE)
    call.turn(12)
    speech = [sent for sent in call.sent if sent.payload == LOUD]
    assert [sent.marker for sent in speech] == [True, True]


@pytest.mark.parametrize("digits", ["x", "12a4z", "1 2"])
async def test_what_is_no_key_is_refused_whole(digits: str) -> None:
    call = await call_that_plays(0)
    with pytest.raises(ValueError, match="key"):
        call.stream.send_digits(digits)
    call.turn(2)
    assert {sent.payload_type for sent in call.sent} == {0}


async def test_keys_are_refused_where_the_caller_takes_none() -> None:
    call = await call_that_plays(0, dtmf=None)
    assert not call.stream.can_send_digits
    with pytest.raises(ValueError, match="telephone events"):
        call.stream.send_digits("1")


async def test_packets_follow_the_caller_behind_nat() -> None:
    call = await call_that_plays(0)
    for number in range(3):
        call.arrive(packet(number), ("198.51.100.9", 1234))
    call.turn()
    call.turn()
    assert call.rtp.sent[-1][1] == encode_address(("198.51.100.9", 1234))


async def test_a_packet_the_kernel_does_not_take_is_counted() -> None:
    call = await call_that_plays(0)
    call.rtp.takes = False
    call.turn(3)
    assert call.stream.counters.send_errors == 3
