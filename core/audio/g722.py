"""G.722 at 64 kbit/s: 7 kHz speech in two sub-bands, each coded by ADPCM (ITU-T G.722).

Arithmetic is the recommendation's, bit by bit; the names in comments are its blocks. In pure Python it costs
about a hundred times what G.711 does, so it is for those who ask for it.
"""

import numpy as np
from numpy.typing import NDArray

from core.audio.g722_tables import (
    HIGH_CODES_NEGATIVE,
    HIGH_CODES_POSITIVE,
    HIGH_DIFFERENCES,
    HIGH_LOG_STEPS,
    LOW_CODES_NEGATIVE,
    LOW_CODES_POSITIVE,
    LOW_DECISIONS,
    LOW_DIFFERENCES_4_BIT,
    LOW_DIFFERENCES_6_BIT,
    LOW_LOG_STEPS,
    QMF,
    SCALE_FACTORS,
)

_LOW_LOG_SCALE_LIMIT = 18432
_HIGH_LOG_SCALE_LIMIT = 22528
_LOW_SCALE_EXPONENT = 8
_HIGH_SCALE_EXPONENT = 10
_HISTORY = len(QMF) - 1

Integers = NDArray[np.int64]


class G722:
    """One call's encoder and decoder; each direction carries its own state."""

    name = "G722"
    payload_type = 9
    # RTP's clock is 8 kHz though the audio is sampled at 16 kHz (RFC 3551 4.5.2).
    clock_rate_hz = 8000
    sample_rate_hz = 16000

    __slots__ = ("_decoder_high", "_decoder_low", "_encoder_high", "_encoder_low", "_received", "_sent")

    def __init__(self) -> None:
        self._encoder_low, self._encoder_high = _Band(32), _Band(8)
        self._decoder_low, self._decoder_high = _Band(32), _Band(8)
        self._sent: Integers = np.zeros((_HISTORY, 2), np.int64)
        self._received: Integers = np.zeros((_HISTORY, 2), np.int64)

    def encode(self, pcm: bytes) -> bytes:
        """One byte for each pair of samples.

        Raises:
            ValueError: the PCM is no whole number of pairs.
        """
        if len(pcm) % 4:
            raise ValueError("G.722 encodes pairs of samples")
        if not pcm:
            return b""
        pairs = np.concatenate((self._sent, np.frombuffer(pcm, "<i2").reshape(-1, 2)))
        self._sent = pairs[-_HISTORY:]
        first = np.correlate(pairs[:, 0], QMF, "valid")
        second = np.correlate(pairs[:, 1], QMF[::-1], "valid")
        low, high = self._encoder_low, self._encoder_high
        return bytes(
            _encode_high(high, high_sample) << 6 | _encode_low(low, low_sample)
            for low_sample, high_sample in zip(
                ((first + second) >> 14).tolist(), ((second - first) >> 14).tolist(), strict=True
            )
        )

    def decode(self, payload: bytes) -> bytes:
        if not payload:
            return b""
        low, high = self._decoder_low, self._decoder_high
        bands = [(_decode_low(low, code & 0x3F), _decode_high(high, code >> 6)) for code in payload]
        sub_bands = np.array(bands, np.int64)
        pairs = np.stack((sub_bands[:, 0] + sub_bands[:, 1], sub_bands[:, 0] - sub_bands[:, 1]), axis=1)
        pairs = np.concatenate((self._received, pairs))
        self._received = pairs[-_HISTORY:]
        samples = np.empty((len(payload), 2), np.int64)
        samples[:, 0] = np.correlate(pairs[:, 1], QMF[::-1], "valid")
        samples[:, 1] = np.correlate(pairs[:, 0], QMF, "valid")
        heard: Integers = np.clip(samples >> 11, -32768, 32767)
        return heard.astype("<i2").tobytes()


class _Band:
    """Predictor and quantiser scale of one sub-band: a, b, d, p, r, s as the recommendation names them."""

    __slots__ = (
        "a1", "a2", "b1", "b2", "b3", "b4", "b5", "b6", "d1", "d2", "d3", "d4", "d5", "d6",
        "log_scale", "p1", "p2", "r1", "s", "scale", "sz",
    )  # fmt: skip

    def __init__(self, scale: int) -> None:
        self.a1 = self.a2 = self.p1 = self.p2 = self.r1 = self.s = self.sz = 0
        self.b1 = self.b2 = self.b3 = self.b4 = self.b5 = self.b6 = 0
        self.d1 = self.d2 = self.d3 = self.d4 = self.d5 = self.d6 = 0
        self.log_scale = 0
        self.scale = scale


def _encode_low(band: _Band, sample: int) -> int:
    # SUBTRA, QUANTL: linear in the decision levels, which grow with the code.
    difference = _saturate(sample - band.s)
    scale = band.scale
    magnitude = difference if difference >= 0 else -(difference + 1)
    below, above = 1, 30
    while below < above:
        middle = (below + above) >> 1
        if magnitude < (LOW_DECISIONS[middle] * scale) >> 12:
            above = middle
        else:
            below = middle + 1
    code = LOW_CODES_NEGATIVE[below] if difference < 0 else LOW_CODES_POSITIVE[below]
    _adapt_low(band, code >> 2)
    return code


def _decode_low(band: _Band, code: int) -> int:
    # INVQBL, RECONS, LIMIT: what is heard has six bits, what adapts has four.
    heard = band.s + ((band.scale * LOW_DIFFERENCES_6_BIT[code]) >> 15)
    _adapt_low(band, code >> 2)
    return -16384 if heard < -16384 else 16383 if heard > 16383 else heard


def _encode_high(band: _Band, sample: int) -> int:
    # SUBTRA, QUANTH: two bits.
    difference = _saturate(sample - band.s)
    magnitude = difference if difference >= 0 else -(difference + 1)
    level = 2 if magnitude >= (564 * band.scale) >> 12 else 1
    code = HIGH_CODES_NEGATIVE[level] if difference < 0 else HIGH_CODES_POSITIVE[level]
    _adapt_high(band, code)
    return code


def _decode_high(band: _Band, code: int) -> int:
    heard = band.s + ((band.scale * HIGH_DIFFERENCES[code]) >> 15)
    _adapt_high(band, code)
    return -16384 if heard < -16384 else 16383 if heard > 16383 else heard


def _adapt_low(band: _Band, code: int) -> None:
    """INVQAL, LOGSCL, SCALEL, then the predictor."""
    difference = (band.scale * LOW_DIFFERENCES_4_BIT[code]) >> 15
    log_scale = ((band.log_scale * 127) >> 7) + LOW_LOG_STEPS[code]
    log_scale = 0 if log_scale < 0 else min(log_scale, _LOW_LOG_SCALE_LIMIT)
    band.log_scale = log_scale
    shift = _LOW_SCALE_EXPONENT - (log_scale >> 11)
    factor = SCALE_FACTORS[log_scale >> 6 & 31]
    band.scale = (factor << -shift if shift < 0 else factor >> shift) << 2
    _predict(band, difference)


def _adapt_high(band: _Band, code: int) -> None:
    """INVQAH, LOGSCH, SCALEH, then the predictor."""
    difference = (band.scale * HIGH_DIFFERENCES[code]) >> 15
    log_scale = ((band.log_scale * 127) >> 7) + HIGH_LOG_STEPS[code]
    log_scale = 0 if log_scale < 0 else min(log_scale, _HIGH_LOG_SCALE_LIMIT)
    band.log_scale = log_scale
    shift = _HIGH_SCALE_EXPONENT - (log_scale >> 11)
    factor = SCALE_FACTORS[log_scale >> 6 & 31]
    band.scale = (factor << -shift if shift < 0 else factor >> shift) << 2
    _predict(band, difference)


def _predict(band: _Band, d0: int) -> None:
    """Adapts two poles and six zeros to the latest difference and predicts the next sample."""
    # RECONS, PARREC
    r0 = _saturate(band.s + d0)
    p0 = _saturate(band.sz + d0)
    p1, a1 = band.p1, band.a1
    same_as_last = (p0 < 0) == (p1 < 0)
    # UPPOL2
    wd = _saturate(a1 << 2)
    wd = min(-wd, 32767) if same_as_last else wd
    a2 = (wd >> 7) + (128 if (p0 < 0) == (band.p2 < 0) else -128) + ((band.a2 * 32512) >> 15)
    a2 = 12288 if a2 > 12288 else -12288 if a2 < -12288 else a2
    # UPPOL1
    a1 = ((a1 * 32640) >> 15) + (192 if same_as_last else -192)
    limit = 15360 - a2
    a1 = limit if a1 > limit else -limit if a1 < -limit else a1
    band.a1, band.a2, band.p1, band.p2 = a1, a2, p0, p1

    # UPZERO, DELAYA, FILTEZ: the zeros' coefficients cannot leave 16 bits, nor twice a difference.
    d1, d2, d3, d4, d5, d6 = band.d1, band.d2, band.d3, band.d4, band.d5, band.d6
    step = 128 if d0 else 0
    negative = d0 < 0
    band.b1 = b1 = ((band.b1 * 32640) >> 15) + (step if (d1 < 0) == negative else -step)
    band.b2 = b2 = ((band.b2 * 32640) >> 15) + (step if (d2 < 0) == negative else -step)
    band.b3 = b3 = ((band.b3 * 32640) >> 15) + (step if (d3 < 0) == negative else -step)
    band.b4 = b4 = ((band.b4 * 32640) >> 15) + (step if (d4 < 0) == negative else -step)
    band.b5 = b5 = ((band.b5 * 32640) >> 15) + (step if (d5 < 0) == negative else -step)
    band.b6 = b6 = ((band.b6 * 32640) >> 15) + (step if (d6 < 0) == negative else -step)
    band.d1, band.d2, band.d3, band.d4, band.d5, band.d6 = d0, d1, d2, d3, d4, d5
    sz = (b1 * d0 >> 14) + (b2 * d1 >> 14) + (b3 * d2 >> 14)
    sz = _saturate(sz + (b4 * d3 >> 14) + (b5 * d4 >> 14) + (b6 * d5 >> 14))

    # FILTEP, PREDIC
    sp = ((a1 * _saturate(r0 << 1)) >> 15) + ((a2 * _saturate(band.r1 << 1)) >> 15)
    band.r1 = r0
    band.sz = sz
    band.s = _saturate(_saturate(sp) + sz)


def _saturate(value: int) -> int:
    return -32768 if value < -32768 else 32767 if value > 32767 else value
