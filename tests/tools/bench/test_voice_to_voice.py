"""Turns of real calls, timed and told apart by source."""

from pathlib import Path

import pytest

from core.dialogue.knowledge import load
from core.dialogue.settings import DialogueSettings
from tools.bench import voice_to_voice
from tools.bench.voice_to_voice import QUESTIONS, measure, scripts, summary
from tools.caller.facts import missing_facts
from tools.caller.report import BargeIn, CallReport, TurnReport
from tools.caller.timing import RtpQuality, Setup

ROOT = Path(__file__).parents[3]


def turn(source: str | None, voice_to_voice_ms: float | None, endpoint_ms: float = 400.0) -> TurnReport:
    stages = {"endpoint": endpoint_ms, "recognition": 2.0, "answer": 0.0, "synthesis": 0.0, "playout": 0.0}
    known = stages | {"total": endpoint_ms + 2.0} if source else {}
    return TurnReport("asked", "heard", "said", "heard back", source, voice_to_voice_ms, known)


def call(*turns: TurnReport, problems: tuple[str, ...] = ()) -> CallReport:
    quality = RtpQuality(100, 0, 0, 0, 0, 0.1, 0.2, 0.3)
    return CallReport("55501", list(turns), BargeIn(), Setup(1.0, 2.0, 60.0), 100, quality, "", list(problems))


def test_twenty_questions_are_asked_in_calls_of_ten() -> None:
    calls = list(scripts())
    assert [len(script.says) for script in calls] == [10, 10]
    assert len({script.caller for script in calls}) == 2


def test_the_knowledge_has_every_fact_that_an_answer_must_contain() -> None:
    knowledge = load(ROOT / "config/knowledge.md")
    for question, fact in QUESTIONS:
        match = knowledge.answer(question, threshold=DialogueSettings().answer_threshold)
        assert (match is not None) == bool(fact), question
        if match:
            assert missing_facts(match.entry.answer, (fact,)) == (), question


def test_turns_are_told_apart_by_where_their_answers_came_from() -> None:
    report = summary([call(turn("knowledge", 500.0), turn("model", 1500.0)), call(turn("knowledge", 600.0))])
    assert {name: each["turns"] for name, each in report["sources"].items()} == {"all": 3, "knowledge": 2, "model": 1}
    assert report["sources"]["knowledge"]["voice_to_voice_ms"]["p50"] == 500.0
    assert report["sources"]["all"]["voice_to_voice_ms"]["max"] == 1500.0


def test_what_only_the_wire_shows_is_the_rest_of_the_time() -> None:
    stages = summary([call(turn("knowledge", 520.0))])["sources"]["knowledge"]["stages_ms"]
    assert stages["endpoint"] == 400.0
    assert stages["wire"] == 118.0


def test_a_turn_without_an_answer_is_counted_and_not_timed() -> None:
    report = summary([call(turn("knowledge", 500.0), turn(None, None), problems=("no answer",))])
    assert report["sources"]["unknown"]["answered"] == 0
    assert report["sources"]["unknown"]["voice_to_voice_ms"]["p50"] is None
    assert report["sources"]["all"]["voice_to_voice_ms"]["max"] == 500.0
    assert report["problems"] == ["no answer"]


@pytest.mark.slow
async def test_a_call_with_scripted_providers_is_timed_on_the_wire(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(voice_to_voice, "LOG_FOLDER", tmp_path)
    report = await measure(list(scripts(QUESTIONS[:1])), None, scripted=True)
    (said,) = report["turns"]
    assert said["source"] in {"knowledge", "model"}
    assert said["voice_to_voice_ms"] >= said["stages_ms"]["endpoint"]
    assert report["sources"]["all"]["answered"] == 1
