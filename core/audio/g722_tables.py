"""Constants of ITU-T G.722: quantisers, inverse quantisers, scale factors, filter bank."""

import numpy as np

# Every second coefficient of the transmit and receive filter; the others are the same, backwards.
QMF = np.array((3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11), np.int64)

# fmt: off
LOW_DECISIONS = (
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714,
    786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
)
LOW_CODES_NEGATIVE: tuple[int, ...] = (0, 63, 62, *range(31, 3, -1))
LOW_CODES_POSITIVE: tuple[int, ...] = (0, *range(61, 31, -1))

_POSITIVE = (
    24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576,
    6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728,
)
# The four lowest codes are never sent at 64 kbit/s (they would make eight zeros).
LOW_DIFFERENCES_6_BIT: tuple[int, ...] = (
    -136, -136, -136, -136, *(-value for value in _POSITIVE), *_POSITIVE, 432, 136, -432, -136,
)
LOW_DIFFERENCES_4_BIT = (
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
)
LOW_LOG_STEPS = (-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60)

HIGH_CODES_NEGATIVE = (0, 1, 0)
HIGH_CODES_POSITIVE = (0, 3, 2)
HIGH_DIFFERENCES = (-7408, -1616, 7408, 1616)
HIGH_LOG_STEPS = (798, -214, 798, -214)

SCALE_FACTORS = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
)
# fmt: on
