"""core.audio.g722: bit-exact where it can be told, wide-band where it is to be heard."""

import hashlib

import numpy as np
import pytest

from core.audio.g722 import G722
from core.audio.levels import snr_db, tone_dbfs
from tests.core.audio.signals import chunks, tone, voice


def integers(seed: int, count: int, modulus: int) -> list[int]:
    """A sequence that any language can repeat (the minimal standard generator)."""
    values, state = [], seed
    for _ in range(count):
        state = state * 48271 % 2147483647
        values.append(state % modulus)
    return values


# Inputs that drive every quantiser level, the filters' saturation and the predictors' limits. What is expected of
# them was computed with two other implementations, libg722 and FFmpeg's, which agree.
NOISE = np.array([value - 32768 for value in integers(1, 16_000, 65_536)], "<i2").tobytes()
QUIET = np.array([(value - 32768) // 64 for value in integers(2, 16_000, 65_536)], "<i2").tobytes()
SQUARE = b"".join((b"\xe0\x2e" * half + b"\x20\xd1" * half) * (800 // half) for half in (1, 2, 3, 4, 6, 100))
CODES = bytes(integers(3, 8_000, 256))


def through_frames(pcm: bytes) -> bytes:
    """What is heard of it in packets of 20 ms."""
    codec = G722()
    return b"".join(codec.decode(codec.encode(frame)) for frame in chunks(pcm, 640))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize(
    ("pcm", "expected"), [(NOISE, "dd6106914d1e6c2f"), (QUIET, "79abcb479944705d")], ids=["loud", "quiet"]
)
def test_encoder_agrees_bit_by_bit(pcm: bytes, expected: str) -> None:
    assert digest(G722().encode(pcm)) == expected


def test_decoder_agrees_bit_by_bit_on_any_codes() -> None:
    assert digest(G722().decode(CODES)) == "2019df20d50014be"


def test_silence_is_coded_as_the_recommendation_starts() -> None:
    assert G722().encode(bytes(16)).hex() == "fafafafa"


def test_both_agree_bit_by_bit_at_the_limits_of_the_predictors() -> None:
    payload = G722().encode(SQUARE)

    assert digest(payload) == "c55d349593e80d45"
    assert digest(G722().decode(payload)) == "aeec3653e584cd17"


@pytest.mark.parametrize("frequency_hz", [300, 1000, 3400, 5000, 6500])
def test_wide_band_tones_survive(frequency_hz: int) -> None:
    pcm = tone(frequency_hz, 16000, 0.325)

    heard = through_frames(pcm)[2000:]

    assert tone_dbfs(heard, frequency_hz, 16000) == pytest.approx(tone_dbfs(pcm, frequency_hz, 16000), abs=0.5)


def test_delay_is_that_of_its_filters() -> None:
    pcm = voice(16000, 0.3)
    heard = through_frames(pcm)

    # 22 samples, that is 1.4 ms.
    assert max(range(40), key=lambda delay: snr_db(pcm, heard[2 * delay :])) == 22


def test_clipped_sound_does_not_run_away() -> None:
    codec = G722()
    square = (b"\xff\x7f" * 40 + b"\x00\x80" * 40) * 40
    codec.decode(codec.encode(square))

    after = b"".join(codec.decode(codec.encode(frame)) for frame in chunks(tone(1000, 16000), 640))

    assert tone_dbfs(after[8000:], 1000, 16000) == pytest.approx(tone_dbfs(tone(1000, 16000), 1000, 16000), abs=0.5)


def test_lost_packet_disturbs_for_a_short_while_only() -> None:
    encoder, decoder = G722(), G722()
    pcm = voice(16000, 0.5)
    frames = [encoder.encode(frame) for frame in chunks(pcm, 640)]
    heard = b"".join(decoder.decode(frame) for at, frame in enumerate(frames) if at != 10)

    # Five frames later decoder and encoder agree again.
    assert snr_db(pcm[16 * 640 :], heard[15 * 640 :], max_delay_samples=40) > 18


def test_half_a_pair_of_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        G722().encode(bytes(6))
