"""What leaves a phone's microphone: speech and silence in blocks of 20 ms, with the noise around the caller."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.audio.codecs import create_codec
from tools.caller.impairments import background_noise
from tools.caller.script import Network
from tools.caller.trace import PTIME_MS, SAMPLE_RATE_HZ, level_dbfs

_SAMPLES = SAMPLE_RATE_HZ * PTIME_MS // 1000


class Block(NamedTuple):
    """20 ms of the caller, coded."""

    payload: bytes
    level_dbfs: float
    utterance: int | None


class Voice:
    """Codes what one caller says."""

    def __init__(self, codec: str, network: Network, stream: int) -> None:
        self._codec = create_codec(codec)
        noise = background_noise(network, stream, SAMPLE_RATE_HZ)
        self._noise = None if noise is None else np.frombuffer(noise, dtype="<i2").astype(np.int32)
        self._noise_at = 0

    def speech(self, pcm: bytes, utterance: int | None) -> Iterator[Block]:
        """Blocks of 16-bit PCM at 8 kHz; the last one is filled up with silence."""
        return self._blocks(np.frombuffer(pcm, dtype="<i2"), utterance)

    def silence(self) -> Block:
        return next(self._blocks(np.zeros(_SAMPLES, dtype=np.int16), None))

    def _blocks(self, samples: npt.NDArray[np.int16], utterance: int | None) -> Iterator[Block]:
        for start in range(0, len(samples), _SAMPLES):
            block = samples[start : start + _SAMPLES]
            pcm = np.zeros(_SAMPLES, dtype=np.int32)
            pcm[: len(block)] = block
            level = level_dbfs(block.astype("<i2").tobytes())
            if self._noise is not None:
                pcm += self._noise[self._noise_at : self._noise_at + _SAMPLES]
                self._noise_at = (self._noise_at + _SAMPLES) % len(self._noise)
            coded = self._codec.encode(np.clip(pcm, -32768, 32767).astype("<i2").tobytes())
            yield Block(coded, level, utterance)
