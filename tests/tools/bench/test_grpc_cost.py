"""What gRPC adds to an engine, from interleaved pairs."""

import json
from pathlib import Path

import pytest

from services.tts.engine import EngineSettings
from services.tts.engines.piper import PiperEngine
from tools.bench import grpc_cost
from tools.bench.grpc_cost import Taken, Way, compare, compared, llm_ways


def taken(wall_ms: float, cpu_ms: float = 1.0, **figures: float) -> Taken:
    return Taken(wall_ms, cpu_ms, figures)


def test_the_ratio_is_that_of_the_medians_and_the_difference_that_within_pairs() -> None:
    over_grpc = [taken(11.0), taken(110.0), taken(12.0)]
    in_process = [taken(10.0), taken(100.0), taken(10.0)]
    assert compared(over_grpc, in_process)["figures"]["wall_ms"] == {
        "grpc": 12.0,
        "in_process": 10.0,
        "ratio": 1.2,
        "added": 2.0,
    }


def test_every_figure_of_a_run_is_compared() -> None:
    figures = compared([taken(1.0, 6.0, token_ms=4.0)], [taken(1.0, 3.0, token_ms=2.0)])["figures"]
    assert {name: figure["ratio"] for name, figure in figures.items()} == {
        "wall_ms": 1.0,
        "cpu_ms": 2.0,
        "token_ms": 2.0,
    }


async def test_the_ways_take_turns_in_going_first_and_the_first_pair_does_not_count() -> None:
    order: list[tuple[str, int]] = []

    def way(name: str) -> Way:
        async def run(number: int) -> Taken:
            order.append((name, number))
            return taken(1.0 if number >= 0 else 1000.0)

        return run

    report = await compare(way("grpc"), way("in process"), pairs=3)
    names = ("grpc", "in process")
    assert order[2:] == [
        *((name, 0) for name in names[::-1]),
        *((name, 1) for name in names),
        *((n, 2) for n in names[::-1]),
    ]
    assert report["pairs"] == 3
    assert report["figures"]["wall_ms"]["grpc"] == 1.0


async def test_a_service_in_a_process_of_its_own_is_compared_with_its_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(grpc_cost, "LOG_FOLDER", tmp_path)
    async with llm_ways("scripted") as (over_grpc, in_process):
        report = await compare(over_grpc, in_process, pairs=2)
        first, second = await over_grpc(0), await in_process(0)
    assert set(report["figures"]) == {"wall_ms", "cpu_ms", "first_token_ms", "token_ms"}
    # Of as many tokens, one way in the other process' CPU time as well.
    assert round(first.wall_ms / first.figures["token_ms"]) == round(second.wall_ms / second.figures["token_ms"])
    assert second.cpu_ms > 0
    assert 0 < first.figures["first_token_ms"] < first.wall_ms


@pytest.mark.engine
def test_a_rendering_without_noise_is_always_as_long(tmp_path: Path) -> None:
    voice = grpc_cost._even_voice(tmp_path)
    assert json.loads(voice.with_name(voice.name + ".json").read_text())["inference"]["noise_w"] == 0.0
    engine = PiperEngine(EngineSettings(models_dir=Path("models")))
    engine.load(str(voice))
    lengths = {len(engine.render("We are open from nine to six.", voice.stem, 1.0)) for _ in range(3)}
    engine.close()
    assert len(lengths) == 1
