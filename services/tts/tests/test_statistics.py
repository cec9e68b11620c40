"""What the service counts."""

import contextlib

from services.tts.statistics import Statistics


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_average_is_over_what_was_answered_in_full() -> None:
    clock = Clock()
    statistics = Statistics(clock)
    assert statistics.average_processing_s == 0
    for duration_s in (1.0, 3.0):
        with statistics.synthesis():
            clock.now_s += duration_s
            assert statistics.active == 1
    with contextlib.suppress(RuntimeError), statistics.synthesis():
        clock.now_s += 100
        raise RuntimeError
    assert (statistics.active, statistics.total) == (0, 2)
    assert statistics.average_processing_s == 2.0
    assert statistics.uptime_s == 104.0


def test_a_synthesis_adds_up_its_clauses() -> None:
    clock = Clock()
    with Statistics(clock).synthesis() as synthesis:
        clock.now_s += 0.25
        synthesis.clause(8000, 0.5, from_cache=True)
        assert synthesis.from_cache
        clock.now_s += 1
        synthesis.clause(16000, 1.0, from_cache=False)
        synthesis.clause(16000, 1.0, from_cache=True)
    assert (synthesis.first_audio_s, synthesis.audio_s, synthesis.total_bytes) == (0.25, 2.5, 40000)
    assert not synthesis.from_cache
