"""core.audio.resample: measured by tones, in 20 ms chunks and in odd ones."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio.levels import rms_dbfs, snr_db, tone_dbfs
from core.audio.resample import Decimator, Interpolator
from tests.core.audio.signals import chunks, noise, tone, voice

PASSBAND_HZ = (50, 300, 1000, 2000, 3000, 3400)


def down(pcm: bytes) -> bytes:
    decimator = Decimator()
    return b"".join(decimator.process(chunk) for chunk in chunks(pcm, 640))


def up(pcm: bytes) -> bytes:
    interpolator = Interpolator()
    return b"".join(interpolator.process(chunk) for chunk in chunks(pcm, 320))


@pytest.mark.parametrize("frequency_hz", PASSBAND_HZ)
def test_passband_is_flat(frequency_hz: int) -> None:
    narrow, wide = tone(frequency_hz, 8000), tone(frequency_hz, 16000)

    # A whole number of periods, after the filter has filled.
    assert tone_dbfs(down(wide)[800:], frequency_hz, 8000) == pytest.approx(
        tone_dbfs(narrow[800:], frequency_hz, 8000), abs=0.1
    )
    assert tone_dbfs(up(narrow)[1600:], frequency_hz, 16000) == pytest.approx(
        tone_dbfs(wide[1600:], frequency_hz, 16000), abs=0.1
    )


@pytest.mark.parametrize("frequency_hz", [4600, 5000, 6000, 7000, 7900])
def test_what_8_khz_cannot_carry_does_not_fold_back(frequency_hz: int) -> None:
    wide = tone(frequency_hz, 16000, amplitude=20_000)

    assert rms_dbfs(down(wide)[200:]) < rms_dbfs(wide) - 55


@pytest.mark.parametrize("frequency_hz", [100, 1000, 2000, 3000, 3400])
def test_interpolation_leaves_no_mirror_image(frequency_hz: int) -> None:
    raised = up(tone(frequency_hz, 8000, amplitude=20_000))[1600:]

    assert tone_dbfs(raised, 8000 - frequency_hz, 16000) < tone_dbfs(raised, frequency_hz, 16000) - 55


def test_delay_of_each_is_less_than_2_ms() -> None:
    # Two of the same kind on a voice that both can carry; 12 samples of 8 kHz are 1.5 ms.
    narrow = voice(8000)
    both = down(up(narrow))

    delay = max(range(40), key=lambda samples: snr_db(narrow, both[2 * samples :]))
    assert delay <= 2 * 2 * 8 - 1
    assert snr_db(narrow, both[2 * delay :]) > 30


def test_impulse_comes_out_within_2_ms() -> None:
    impulse = bytes(320) + (20_000).to_bytes(2, "little") + bytes(2000)

    def peak(pcm: bytes) -> int:
        samples = [abs(int.from_bytes(pcm[at : at + 2], "little", signed=True)) for at in range(0, len(pcm), 2)]
        return samples.index(max(samples))

    assert peak(Interpolator().process(impulse)) - 2 * 160 <= 2 * 16
    assert peak(Decimator().process(impulse)) - 160 / 2 <= 2 * 8


@pytest.mark.parametrize("seed", range(5))
def test_chunks_of_any_length_give_the_same_samples(seed: int) -> None:
    source = random.Random(seed)
    pcm = noise(4000)
    decimator, interpolator = Decimator(), Interpolator()
    lowered, raised, at = b"", b"", 0
    while at < len(pcm):
        size = 2 * source.randrange(0, 60)
        lowered += decimator.process(pcm[at : at + size])
        raised += interpolator.process(pcm[at : at + size])
        at += size

    assert lowered == Decimator().process(pcm)
    assert raised == Interpolator().process(pcm)
    assert (len(lowered), len(raised)) == (len(pcm) // 2, len(pcm) * 2)


def test_loud_sound_is_clipped_and_does_not_wrap() -> None:
    square = (b"\xff\x7f" * 9 + b"\x00\x80" * 9) * 100

    for output in (Decimator().process(square), Interpolator().process(square)):
        assert rms_dbfs(output) > -2


def test_reset_forgets_the_stream() -> None:
    for resampler in (Decimator(), Interpolator()):
        fresh = type(resampler)().process(noise(320))
        resampler.process(noise(321, seed=2))
        resampler.reset()
        assert resampler.process(noise(320)) == fresh


@given(st.lists(st.integers(0, 9), max_size=20))
def test_no_sample_is_lost_or_invented(sizes: list[int]) -> None:
    decimator, interpolator = Decimator(), Interpolator()
    lowered = sum(len(decimator.process(bytes(2 * size))) for size in sizes)
    raised = sum(len(interpolator.process(bytes(2 * size))) for size in sizes)

    assert lowered == sum(sizes) // 2 * 2
    assert raised == sum(sizes) * 4
