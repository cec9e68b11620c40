"""What a call's record says of its turns."""

import json

import pytest

from core.observability.call_record import CallRecord, TurnRecord


def test_the_stages_of_a_turn_add_up_to_what_the_caller_waited() -> None:
    turn = TurnRecord(
        silent_since_s=10.0, decided_s=10.4, recognised_s=10.5, answered_s=10.7, synthesised_s=10.9, started_s=11.0
    )

    assert turn.stages_ms() == {
        "endpoint": 400.0,
        "recognition": 100.0,
        "answer": 200.0,
        "synthesis": 200.0,
        "playout": 100.0,
        "total": 1000.0,
    }


def test_what_was_done_ahead_of_the_turn_counts_nothing() -> None:
    turn = TurnRecord(
        silent_since_s=10.0, decided_s=10.4, recognised_s=10.5, answered_s=10.2, synthesised_s=10.3, started_s=10.52
    )

    stages = turn.stages_ms()

    assert (stages["answer"], stages["synthesis"], stages["playout"]) == (0.0, 0.0, 20.0)


def test_what_a_filler_bridged_counts_nothing() -> None:
    turn = TurnRecord(
        silent_since_s=10.0, decided_s=10.4, recognised_s=10.5, answered_s=12.0, synthesised_s=12.5, started_s=11.0
    )

    stages = turn.stages_ms()

    assert sum(stages.values()) - stages["total"] == pytest.approx(stages["total"])
    assert stages["synthesis"] == 0.0


@pytest.mark.parametrize("turn", [TurnRecord(), TurnRecord(silent_since_s=1.0), TurnRecord(started_s=1.0)])
def test_a_turn_that_was_not_answered_has_no_stages(turn: TurnRecord) -> None:
    assert turn.voice_to_voice_ms is None
    assert turn.stages_ms() == {}


def test_a_record_is_json() -> None:
    record = CallRecord("c1", "opensips", "alice", "bob")
    record.begin_turn(heard="Hello?", interrupted=True, interrupted_at=5.0)

    [turn] = json.loads(json.dumps(record.as_json()))["turns"]

    assert (turn["heard"], turn["interrupted"], turn["interrupted_at"]) == ("Hello?", True, 5.0)
    assert record.duration_s >= 0
