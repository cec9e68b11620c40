"""Comfort noise of an RTP payload's level (RFC 3389)."""

import numpy as np

# Below this a recogniser is better served with silence; above the other no background is that loud.
_INAUDIBLE_DBOV = -75
_LOUDEST_DBOV = -40
_FULL_SCALE = 32768.0


def noise_level_dbov(payload: bytes) -> int:
    """The level a payload names, 0 to -127 dBov; one without a level means silence (RFC 3389 3)."""
    return -(payload[0] & 0x7F) if payload else -127


def comfort_noise(level_dbov: int, samples: int, random: np.random.Generator) -> bytes:
    """White noise as 16-bit little-endian mono PCM, never loud; the spectrum a payload may name is not followed."""
    if level_dbov < _INAUDIBLE_DBOV:
        return bytes(2 * samples)
    amplitude = _FULL_SCALE * 10 ** (min(level_dbov, _LOUDEST_DBOV) / 20)
    noise = random.standard_normal(samples) * amplitude
    return np.rint(np.clip(noise, -_FULL_SCALE, _FULL_SCALE - 1)).astype("<i2").tobytes()
