"""Speech codecs of a call: PCM to RTP payload and back (RFC 3551 4.5)."""

import warnings
from typing import Protocol

with warnings.catch_warnings():
    # Deprecated in Python 3.11 and 3.12; from 3.13 on the package audioop-lts brings it under the same name.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop


class Codec(Protocol):
    """One call's encoder and decoder. PCM is 16-bit little-endian mono, whole samples.

    Attributes:
        name: as an rtpmap writes it.
        payload_type: the static one (RFC 3551 6); an offer may bind another.
        clock_rate_hz: of RTP timestamps.
        sample_rate_hz: of the PCM.
    """

    @property
    def name(self) -> str: ...

    @property
    def payload_type(self) -> int: ...

    @property
    def clock_rate_hz(self) -> int: ...

    @property
    def sample_rate_hz(self) -> int: ...

    def encode(self, pcm: bytes) -> bytes:
        """The RTP payload of the next PCM."""

    def decode(self, payload: bytes) -> bytes:
        """The PCM of the next payload, of any bytes and any length."""


class Pcmu:
    """G.711 µ-law: stateless."""

    name = "PCMU"
    payload_type = 0
    clock_rate_hz = 8000
    sample_rate_hz = 8000

    def encode(self, pcm: bytes) -> bytes:
        return audioop.lin2ulaw(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return audioop.ulaw2lin(payload, 2)


class Pcma:
    """G.711 A-law: stateless."""

    name = "PCMA"
    payload_type = 8
    clock_rate_hz = 8000
    sample_rate_hz = 8000

    def encode(self, pcm: bytes) -> bytes:
        return audioop.lin2alaw(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return audioop.alaw2lin(payload, 2)
