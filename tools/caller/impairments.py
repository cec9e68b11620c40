"""What a network does to packets: loss, jitter, reorder and duplicates, the same for the same seed."""

import math
import random

import numpy as np

from tools.caller.script import Network

# How far behind its successor a reordered packet arrives: later than one more packet, earlier than two.
_REORDER_DELAY_MS = 30.0
# How long a TCP connection waits before it sends a lost segment again (Linux' TCP_RTO_MIN; RFC 6298 2.4 asks for more).
_RETRANSMISSION_MS = 200.0


class Impairments:
    """The fate of each packet in turn."""

    def __init__(self, network: Network, stream: int = 0) -> None:
        """Calls that share a script differ by their stream number, and only by that."""
        self._network = network
        self._random = random.Random(f"{network.seed}/{stream}")

    def delays_ms(self) -> tuple[float, ...]:
        """How late each copy of the next packet arrives: none of a lost one, two of a duplicated one."""
        network, chance = self._network, self._random.random
        # As many numbers are drawn for every packet, so that one setting does not shift another's choices.
        lost, reordered, duplicated, late, copy_late = (chance() for _ in range(5))
        if lost * 100 < network.loss_percent:
            return ()
        delay_ms = late * network.jitter_ms
        if reordered * 100 < network.reorder_percent:
            delay_ms += _REORDER_DELAY_MS
        if duplicated * 100 < network.duplicate_percent:
            return (delay_ms, delay_ms + copy_late * max(network.jitter_ms, 1.0))
        return (delay_ms,)

    def stream_delay_ms(self) -> float:
        """How late the next message arrives over TCP, which loses, doubles and overtakes nothing."""
        return next(iter(self.delays_ms()), _RETRANSMISSION_MS)


def background_noise(network: Network, stream: int, sample_rate_hz: int, duration_s: float = 4.0) -> bytes | None:
    """A stretch of the noise around the caller, to be repeated: 16-bit PCM, or None for silence.

    It falls off above 1 kHz as a room's does, rather than hissing as white noise would.
    """
    if network.noise_dbfs is None:
        return None
    samples = int(sample_rate_hz * duration_s)
    generator = np.random.default_rng([network.seed, stream])
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    shaped = np.fft.irfft(spectrum / (1 + (frequency_hz / 1000) ** 2), samples)
    target = 32768 * math.pow(10, network.noise_dbfs / 20)
    noise = shaped * (target / np.sqrt(np.mean(shaped**2)))
    pcm: bytes = np.clip(np.round(noise), -32768, 32767).astype("<i2").tobytes()
    return pcm
