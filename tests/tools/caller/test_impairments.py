"""Impairments are exact in the long run, and the same for the same seed."""

import numpy as np
import pytest

from tools.caller.impairments import Impairments, background_noise
from tools.caller.script import Network

PACKETS = 20_000


def fates(network: Network, stream: int = 0, count: int = PACKETS) -> list[tuple[float, ...]]:
    impairments = Impairments(network, stream)
    return [impairments.delays_ms() for _ in range(count)]


def test_perfect_network_changes_nothing() -> None:
    assert set(fates(Network())) == {(0.0,)}


def test_shares_are_as_asked() -> None:
    network = Network(loss_percent=5, duplicate_percent=3, reorder_percent=2, jitter_ms=20)
    result = fates(network)
    delays = [delay for fate in result for delay in fate[:1]]
    assert sum(not fate for fate in result) / PACKETS == pytest.approx(0.05, abs=0.005)
    assert sum(len(fate) == 2 for fate in result) / len(delays) == pytest.approx(0.03, abs=0.005)
    assert sum(delay >= 30 for delay in delays) / len(delays) == pytest.approx(0.02, abs=0.005)
    assert np.mean([delay for delay in delays if delay < 30]) == pytest.approx(10, abs=0.5)


def test_same_seed_same_fates() -> None:
    network = Network(seed=5, loss_percent=10, jitter_ms=10)
    assert fates(network, count=500) == fates(network, count=500)


def test_other_seed_or_stream_other_fates() -> None:
    network = Network(seed=5, loss_percent=10)
    assert fates(network, count=500) != fates(Network(seed=6, loss_percent=10), count=500)
    assert fates(network, count=500) != fates(network, stream=1, count=500)


def test_one_setting_does_not_move_another_ones_choices() -> None:
    lost = [not fate for fate in fates(Network(loss_percent=10), count=2000)]
    lost_with_more = [
        not fate for fate in fates(Network(loss_percent=10, jitter_ms=30, duplicate_percent=50), count=2000)
    ]
    assert lost == lost_with_more


def test_noise_has_the_level_asked_for() -> None:
    noise = background_noise(Network(noise_dbfs=-40), 0, 8000)
    assert noise is not None
    samples = np.frombuffer(noise, dtype="<i2").astype(float) / 32768
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-40, abs=0.2)


def test_noise_is_none_unless_asked_for_and_seeded_where_it_is() -> None:
    assert background_noise(Network(), 0, 8000) is None
    assert background_noise(Network(noise_dbfs=-40), 0, 8000) == background_noise(Network(noise_dbfs=-40), 0, 8000)
    assert background_noise(Network(noise_dbfs=-40), 0, 8000) != background_noise(Network(noise_dbfs=-40), 1, 8000)
