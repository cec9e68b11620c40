"""core.audio.concealment: what stands in for lost audio."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio.concealment import Concealer
from core.audio.levels import rms_dbfs, snr_db, tone_dbfs
from tests.core.audio.signals import chunks, noise, tone, voice

RATES = (8000, 16000)


def conceal_every(pcm: bytes, frame_bytes: int, nth: int, sample_rate_hz: int) -> bytes:
    concealer = Concealer(sample_rate_hz)
    return b"".join(
        concealer.conceal(frame_bytes // 2) if at % nth == nth - 1 else concealer.receive(frame)
        for at, frame in enumerate(chunks(pcm, frame_bytes))
    )


@pytest.mark.parametrize("sample_rate_hz", RATES)
def test_what_arrives_passes_unchanged(sample_rate_hz: int) -> None:
    concealer = Concealer(sample_rate_hz)
    pcm = voice(sample_rate_hz, 0.2)

    assert b"".join(concealer.receive(frame) for frame in chunks(pcm, 320)) == pcm


@pytest.mark.parametrize("sample_rate_hz", RATES)
@pytest.mark.parametrize("pitch_hz", [70, 100, 125, 180])
def test_voice_with_every_tenth_packet_lost_stays_closer_than_silence(sample_rate_hz: int, pitch_hz: int) -> None:
    frame_bytes = sample_rate_hz // 50 * 2
    pcm = voice(sample_rate_hz, pitch_hz=pitch_hz)
    silenced = b"".join(
        bytes(len(frame)) if at % 10 == 9 else frame for at, frame in enumerate(chunks(pcm, frame_bytes))
    )

    concealed = conceal_every(pcm, frame_bytes, 10, sample_rate_hz)

    assert len(concealed) == len(pcm)
    assert snr_db(pcm, concealed) > snr_db(pcm, silenced) + 5


def test_tone_goes_on_in_pitch_and_level() -> None:
    concealer = Concealer(8000)
    for frame in chunks(tone(250, 8000, 0.2), 320):
        concealer.receive(frame)

    stand_in = concealer.conceal(80)

    assert tone_dbfs(stand_in, 250, 8000) == pytest.approx(tone_dbfs(tone(250, 8000, 0.01), 250, 8000), abs=1)


@pytest.mark.parametrize("sample_rate_hz", RATES)
def test_there_is_no_click_at_either_end(sample_rate_hz: int) -> None:
    pcm = tone(180, sample_rate_hz, 0.5)
    heard = np.frombuffer(conceal_every(pcm, sample_rate_hz // 50 * 2, 8, sample_rate_hz), "<i2").astype(int)
    steepest = np.abs(np.diff(np.frombuffer(pcm, "<i2").astype(int))).max()

    assert np.abs(np.diff(heard)).max() < 3 * steepest


@pytest.mark.parametrize("sample_rate_hz", RATES)
def test_repeats_join_without_a_click_where_nothing_repeats(sample_rate_hz: int) -> None:
    concealer = Concealer(sample_rate_hz)
    # Its period of 25 ms is longer than any that is sought.
    pcm = tone(40, sample_rate_hz, 0.2)
    concealer.receive(pcm)

    stand_in = np.frombuffer(concealer.conceal(sample_rate_hz // 25), "<i2").astype(int)

    steepest = np.abs(np.diff(np.frombuffer(pcm, "<i2").astype(int))).max()
    assert np.abs(np.diff(stand_in)).max() < 4 * steepest


def test_long_loss_fades_and_is_silent_after_60_ms() -> None:
    concealer = Concealer(8000)
    for frame in chunks(voice(8000, 0.2), 320):
        concealer.receive(frame)

    levels = [rms_dbfs(concealer.conceal(80)) for _ in range(8)]

    assert levels[0] > levels[2] > levels[4] > -60
    assert levels[6:] == [-120.0, -120.0]


def test_one_long_gap_is_the_same_as_its_parts() -> None:
    one, many = Concealer(8000), Concealer(8000)
    for frame in chunks(voice(8000, 0.2), 320):
        one.receive(frame)
        many.receive(frame)

    assert one.conceal(800) == b"".join(many.conceal(80) for _ in range(10))
    assert one.receive(voice(8000, 0.02)) == many.receive(voice(8000, 0.02))


def test_audio_after_a_gap_is_blended_in_and_then_as_it_came() -> None:
    concealer = Concealer(8000)
    for frame in chunks(voice(8000, 0.2), 320):
        concealer.receive(frame)
    concealer.conceal(160)
    arrived = noise(160)

    heard = concealer.receive(arrived)

    assert heard[:64] != arrived[:64]
    assert heard[64:] == arrived[64:]
    assert concealer.receive(arrived) == arrived


def test_without_history_there_is_silence() -> None:
    concealer = Concealer(8000)

    assert concealer.conceal(160) == bytes(320)
    concealer.receive(tone(400, 8000, 0.02))
    assert concealer.conceal(160) == bytes(320)


def test_silence_is_followed_by_silence() -> None:
    concealer = Concealer(8000)
    concealer.receive(bytes(1600))

    assert concealer.conceal(160) == bytes(320)


def test_reset_forgets_the_voice() -> None:
    concealer = Concealer(8000)
    concealer.receive(voice(8000, 0.2))
    concealer.conceal(80)

    concealer.reset()

    assert concealer.conceal(80) == bytes(160)
    assert concealer.conceal(0) == b""


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=12))
def test_any_order_of_audio_and_loss_keeps_time(parts: list[tuple[bool, int]]) -> None:
    concealer = Concealer(8000)
    for arrived, samples in parts:
        pcm = concealer.receive(noise(samples, 12_000)) if arrived else concealer.conceal(samples)
        assert len(pcm) == 2 * samples
