"""core.rtp.emodel: known points of the E-model."""

import pytest

from core.rtp.emodel import burst_ratio, mos, rating


def test_perfect_connection_has_the_default_rating() -> None:
    assert rating(0, 0) == pytest.approx(93.2)
    assert mos(93.2) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("r", "expected"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_limits_of_the_quality_categories(r: float, expected: float) -> None:
    # ITU-T G.107 table B.1.
    assert mos(r) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("r", "expected"), [(-10, 1.0), (0, 1.0), (2, 1.0), (100, 4.5), (120, 4.5)])
def test_score_stays_between_1_and_4_5(r: float, expected: float) -> None:
    assert mos(r) == expected


def test_delay_costs_nothing_up_to_100_ms_and_about_24_at_400() -> None:
    assert rating(100, 0) == rating(0, 0)
    assert rating(150, 0) == pytest.approx(rating(0, 0), abs=0.5)
    assert rating(0, 0) - rating(400, 0) == pytest.approx(24.1, abs=0.1)


def test_one_percent_of_random_loss_costs_what_g_113_says() -> None:
    assert rating(0, 1) == pytest.approx(93.2 - 95 / 26.1, abs=0.01)


def test_loss_in_bursts_costs_more() -> None:
    assert rating(0, 3, burst_ratio=2.0) < rating(0, 3)


def test_absurd_arguments_stay_within_the_model() -> None:
    assert mos(rating(10_000, 500)) == 1.0
    assert rating(0, -1) == rating(0, 0)
    assert rating(0, 3, burst_ratio=0.0) == rating(0, 3)


def test_burst_ratio_is_1_for_single_losses_and_grows_with_their_runs() -> None:
    assert burst_ratio(0, 0, 0.0) == 1.0
    assert burst_ratio(5, 5, 5.0) == 1.0
    assert burst_ratio(10, 5, 10.0) == pytest.approx(1.8)
    assert burst_ratio(10, 1, 100.0) == 1.0
