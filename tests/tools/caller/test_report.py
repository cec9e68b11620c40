"""The report: its schema, and what the connector's own account adds to what was heard."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.tools.caller.packets import MS, START_NS, trace
from tools.caller.agent_account import AgentAccount, AgentTurn
from tools.caller.caller import CallRecord
from tools.caller.report import CallReport, medians, report_call, write_report
from tools.caller.script import parse_script

SCRIPT = parse_script(
    """
    [[step]]
    do = "say"
    text = "When are you open?"
    expect = "open"
    source = "knowledge"
    interrupt_after_ms = 200
    [[step]]
    do = "say"
    text = "How much is it?"
    """
)
STAGES = {"endpoint": 400.0, "recognition": 100.0, "answer": 1.0, "synthesis": 50.0, "playout": 20.0, "total": 571.0}
# The greeting, the question, its answer, which the second question interrupts, and the answer to that.
LOUD = {*range(2, 6), *range(40, 72), *range(100, 120)}
SAID = [(10, 30), (60, 80)]
SCHEMA = {
    "turns": {
        "caller_said",
        "heard",
        "agent_said",
        "agent_heard_as",
        "source",
        "voice_to_voice_ms",
        "stages_ms",
    },
    "barge_in": {"onset_to_silence_ms", "decision_to_silence_ms"},
    "rtp": {"sent", "received", "lost", "gap_error_p50_ms", "gap_error_p99_ms"},
}


def words(samples: npt.NDArray[np.int16]) -> str:
    return "We are open."


def record(loud: set[int] = LOUD) -> CallRecord:
    return CallRecord(SCRIPT, "5550100", trace(loud, SAID), status=200, ended_by="caller")


def account(interrupted_at_ns: int | None = START_NS + 1420 * MS) -> AgentAccount:
    turns = (
        AgentTurn("", "Hello.", "Hello.", "dialogue", None, {}),
        AgentTurn("when are you opened", "We are open from nine.", "We are", "knowledge", interrupted_at_ns, STAGES),
        AgentTurn("how much is it", "Five dollars.", "Five dollars.", "model", None, STAGES),
    )
    return AgentAccount("call-1", "5550100", 0.0, True, "caller_hung_up", turns)


def report(loud: set[int] = LOUD, told: AgentAccount | None = None) -> CallReport:
    made = report_call(record(loud), told or account(), words)
    made.rss_mb, made.startup_s = {"core": 150.04, "asr": 250.0}, {"core": 1.234}
    return made


def test_schema_is_exactly_the_promised_one() -> None:
    body = report().as_json()
    top = ["transport", "turns", "barge_in", "greeting_ms", "setup_ms", "rtp", "rss_mb", "startup_s", "ok"]
    assert list(body) == top
    assert all(set(turn) == SCHEMA["turns"] for turn in body["turns"])
    assert set(body["barge_in"]) == SCHEMA["barge_in"]
    assert set(body["rtp"]) == SCHEMA["rtp"]
    assert body["ok"] is True


def test_figures_are_those_of_the_packets() -> None:
    body = report().as_json()
    assert body["setup_ms"] == 40.0
    assert body["greeting_ms"] == 50.0
    assert [turn["voice_to_voice_ms"] for turn in body["turns"]] == [220.0, 420.0]
    assert body["barge_in"] == {"onset_to_silence_ms": 220.0, "decision_to_silence_ms": 20.0}
    assert body["rtp"] == {"sent": 200, "received": 200, "lost": 0, "gap_error_p50_ms": 0.0, "gap_error_p99_ms": 0.0}
    assert body["rss_mb"] == {"core": 150.0, "asr": 250.0}
    assert body["startup_s"] == {"core": 1.23}


def test_decision_is_the_connectors_and_its_silence_the_wires() -> None:
    barge_in = report(told=account(START_NS + 1400 * MS)).barge_in
    assert barge_in.decision_to_silence_ms == 40.0


def test_connectors_account_is_laid_beside_what_was_said() -> None:
    turns = report().as_json()["turns"]
    assert [turn["heard"] for turn in turns] == ["when are you opened", "how much is it"]
    assert [turn["agent_said"] for turn in turns] == ["We are open from nine.", "Five dollars."]
    assert [turn["agent_heard_as"] for turn in turns] == ["We are open.", "We are open."]
    assert [turn["source"] for turn in turns] == ["knowledge", "model"]
    assert turns[0]["stages_ms"] == STAGES


def test_without_an_account_the_wire_alone_is_reported() -> None:
    made = report_call(record(), None, words)
    turn = made.as_json()["turns"][0]
    assert (turn["heard"], turn["agent_said"], turn["source"], turn["stages_ms"]) == (None, None, None, {})
    assert made.barge_in.onset_to_silence_ms == 220.0
    assert made.barge_in.decision_to_silence_ms is None
    assert made.ok


def test_unjudged_call_is_timed_only() -> None:
    made = report_call(record(), account(), None)
    assert made.ok
    assert [turn.agent_heard_as for turn in made.turns] == ["", ""]
    assert [turn.voice_to_voice_ms for turn in made.turns] == [220.0, 420.0]


def test_interruption_that_hit_nobody_is_a_problem() -> None:
    made = report({*range(40, 50), *range(100, 120)})
    assert made.problems == ["nothing was interrupted: the answer was over, or never began"]
    body = made.as_json()
    assert body["ok"] is False
    assert body["problems"] == made.problems


def test_what_went_wrong_on_the_call_is_a_problem() -> None:
    failed = record()
    failed.failures.append("BYE was answered 408 Request Timeout")
    assert report_call(failed, account(), words).problems == ["BYE was answered 408 Request Timeout"]


def test_medians_skip_what_is_unknown() -> None:
    reports = [report(), report(), report_call(record(), None, words)]
    figures = medians(reports)
    assert figures["voice_to_voice_ms"] == 320.0
    assert figures["decision_to_silence_ms"] == 20.0
    assert figures["rss_total_mb"] == 400.04
    assert medians([replace(report(), rss_mb={})])["rss_total_mb"] is None


def written(path: Path, reports: list[CallReport]) -> dict[str, Any]:
    write_report(path, reports)
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return body


def test_one_call_is_written_as_it_is(tmp_path: Path) -> None:
    made = report()
    assert written(tmp_path / "new" / "report.json", [made]) == made.as_json()


def test_several_calls_are_written_with_medians_and_ok_of_all(tmp_path: Path) -> None:
    bad = report({*range(40, 50), *range(100, 120)})
    body = written(tmp_path / "report.json", [report(), bad])
    assert body["ok"] is False
    assert len(body["calls"]) == 2
    assert body["medians"]["setup_ms"] == 40.0
