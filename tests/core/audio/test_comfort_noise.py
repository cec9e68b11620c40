"""core.audio.comfort_noise: quiet, never loud."""

import numpy as np
import pytest

from core.audio.comfort_noise import comfort_noise, noise_level_dbov
from core.audio.levels import rms_dbfs


@pytest.mark.parametrize(
    ("payload", "level"), [(b"\x00", 0), (b"\x3c", -60), (b"\x7f", -127), (b"\xbc\x01\x02", -60), (b"", -127)]
)
def test_level_is_the_first_byte(payload: bytes, level: int) -> None:
    assert noise_level_dbov(payload) == level


@pytest.mark.parametrize(("level", "heard"), [(-50, -50), (-60, -60), (-70, -70), (0, -40), (-10, -40)])
def test_noise_has_its_level_and_is_never_loud(level: int, heard: int) -> None:
    pcm = comfort_noise(level, 8000, np.random.default_rng(1))

    assert len(pcm) == 16_000
    assert rms_dbfs(pcm) == pytest.approx(heard, abs=0.5)


@pytest.mark.parametrize("level", [-76, -127])
def test_inaudible_noise_is_silence(level: int) -> None:
    assert comfort_noise(level, 160, np.random.default_rng(1)) == bytes(320)


def test_same_randomness_gives_the_same_noise() -> None:
    first, second = (comfort_noise(-50, 160, np.random.default_rng(5)) for _ in range(2))

    assert first == second
