"""Every codec: what all of them promise, and what each is known to produce."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio.codec import Codec, Pcma, Pcmu
from core.audio.codecs import CODECS, create_codec
from core.audio.levels import rms_dbfs, snr_db, tone_dbfs
from tests.core.audio.signals import chunks, tone, voice

NAMES = sorted(CODECS)


@pytest.fixture(params=NAMES)
def codec(request: pytest.FixtureRequest) -> Codec:
    return create_codec(str(request.param))


def test_name_is_the_one_it_is_created_by(codec: Codec) -> None:
    assert create_codec(codec.name.lower()).name == codec.name
    assert CODECS[codec.name]().payload_type == codec.payload_type


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'G729': known are PCMU, PCMA, G722"):
        create_codec("G729")


def test_20_ms_are_160_bytes_and_come_back_as_20_ms(codec: Codec) -> None:
    pcm = tone(440, codec.sample_rate_hz, 0.02)

    payload = codec.encode(pcm)

    assert len(payload) == 160 == codec.clock_rate_hz // 50
    assert len(codec.decode(payload)) == len(pcm)


def test_nothing_becomes_nothing(codec: Codec) -> None:
    assert codec.encode(b"") == b""
    assert codec.decode(b"") == b""


def test_voice_survives_with_a_good_signal_to_noise_ratio(codec: Codec) -> None:
    frame_bytes = codec.sample_rate_hz // 50 * 2
    pcm = voice(codec.sample_rate_hz, 0.5)

    heard = b"".join(codec.decode(codec.encode(frame)) for frame in chunks(pcm, frame_bytes))

    assert snr_db(pcm, heard, max_delay_samples=40) > 18


def test_tone_keeps_its_frequency_and_level(codec: Codec) -> None:
    pcm = tone(1000, codec.sample_rate_hz, 0.5)

    heard = codec.decode(codec.encode(pcm))[1000:]

    assert tone_dbfs(heard, 1000, codec.sample_rate_hz) == pytest.approx(
        tone_dbfs(pcm, 1000, codec.sample_rate_hz), abs=0.2
    )


def test_silence_stays_silent(codec: Codec) -> None:
    heard = codec.decode(codec.encode(bytes(codec.sample_rate_hz)))

    assert rms_dbfs(heard) < -70


def test_frames_give_the_same_bytes_as_one_piece(codec: Codec) -> None:
    pcm = voice(codec.sample_rate_hz, 0.2)
    other = create_codec(codec.name)
    frame_bytes = codec.sample_rate_hz // 50 * 2

    payload = b"".join(codec.encode(frame) for frame in chunks(pcm, frame_bytes))

    assert payload == other.encode(pcm)
    assert b"".join(codec.decode(part) for part in chunks(payload, 37)) == other.decode(payload)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.binary(max_size=50), max_size=4))
def test_any_payload_decodes(name: str, payloads: list[bytes]) -> None:
    codec = create_codec(name)
    for payload in payloads:
        assert len(codec.decode(payload)) == len(payload) * codec.sample_rate_hz // 8000 * 2


@pytest.mark.parametrize(
    ("codec", "sample", "code"),
    [
        (Pcmu(), 0, 0xFF),
        (Pcmu(), 32767, 0x80),
        (Pcmu(), -32768, 0x00),
        (Pcmu(), 1000, 0xCE),
        (Pcma(), 0, 0xD5),
        (Pcma(), 32767, 0xAA),
        (Pcma(), -32768, 0x2A),
        (Pcma(), 1000, 0xFA),
    ],
)
def test_g711_codes_of_known_samples(codec: Codec, sample: int, code: int) -> None:
    assert codec.encode(sample.to_bytes(2, "little", signed=True)) == bytes((code,))


def test_import_raises_no_warning() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import core.audio.codecs"], capture_output=True, check=False, timeout=30
    )

    assert run.returncode == 0, run.stderr.decode()
