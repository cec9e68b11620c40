"""What a call's audio was worth to an ear: the E-model reduced to delay and loss (ITU-T G.107, G.113 App. I)."""

import math

# R of a connection with every parameter at its default (G.107 table 1).
_DEFAULT_R = 93.2
# G.711 with packet-loss concealment (G.113 table I.4).
_EQUIPMENT_IMPAIRMENT = 0.0
_LOSS_ROBUSTNESS = 25.1


def rating(
    one_way_delay_ms: float,
    loss_percent: float,
    burst_ratio: float = 1.0,
    equipment_impairment: float = _EQUIPMENT_IMPAIRMENT,
    loss_robustness: float = _LOSS_ROBUSTNESS,
) -> float:
    """The transmission rating R, at most 93.2.

    Args:
        one_way_delay_ms: from mouth to ear, without echo.
        loss_percent: Ppl, packets that were lost or came too late.
        burst_ratio: BurstR, 1 where losses are independent of each other.
        equipment_impairment: Ie of the codec.
        loss_robustness: Bpl of the codec.
    """
    lost = max(0.0, min(loss_percent, 100.0))
    loss = lost / (lost / max(burst_ratio, 1.0) + loss_robustness)
    impairment = equipment_impairment + (95.0 - equipment_impairment) * loss
    return _DEFAULT_R - _delay_impairment(one_way_delay_ms) - impairment


def mos(r: float) -> float:
    """The mean opinion score of a rating, 1 to 4.5 (G.107 annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The cubic dips below 1 for the lowest ratings.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def burst_ratio(packets_lost: int, loss_runs: int, loss_percent: float) -> float:
    """How much longer runs of losses were than they are by chance (G.107 3.5): 1 and more."""
    if not loss_runs or loss_percent >= 100:
        return 1.0
    return max(1.0, packets_lost / loss_runs * (1 - loss_percent / 100))


def _delay_impairment(delay_ms: float) -> float:
    """Idd: what too long a delay costs even without echo (G.107 equation 7-27)."""
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return 25 * (math.pow(1 + math.pow(x, 6), 1 / 6) - 3 * math.pow(1 + math.pow(x / 3, 6), 1 / 6) + 2)
