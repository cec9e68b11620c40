"""What a call's record tells: its turns, their times, its length."""

import pytest

from core.observability.call_record import CallRecord, TurnRecord


def turn(**times: float) -> TurnRecord:
    return TurnRecord(heard="Hi?", said="Hello.", **times)  # type: ignore[arg-type]


def test_stages_add_up_to_the_time_from_voice_to_voice() -> None:
    stages = turn(
        silent_since_s=10.0, decided_s=10.4, recognised_s=10.5, answered_s=10.55, synthesised_s=10.7, started_s=10.72
    ).stages_ms()
    assert stages == {
        "endpoint": 400.0,
        "recognition": 100.0,
        "answer": 50.0,
        "synthesis": 150.0,
        "playout": 20.0,
        "total": 720.0,
    }


def test_a_stage_done_ahead_of_its_turn_counts_nothing() -> None:
    stages = turn(
        silent_since_s=10.0, decided_s=10.4, recognised_s=10.2, answered_s=10.3, synthesised_s=10.5, started_s=10.6
    ).stages_ms()
    assert (stages["endpoint"], stages["recognition"], stages["answer"], stages["synthesis"]) == (400, 0, 0, 100)
    assert stages["total"] == pytest.approx(sum(stages.values()) - stages["total"])


def test_a_stage_that_did_not_happen_counts_nothing() -> None:
    stages = turn(silent_since_s=10.0, decided_s=10.4, started_s=10.5).stages_ms()
    assert (stages["recognition"], stages["answer"], stages["synthesis"], stages["playout"]) == (0, 0, 0, 100)


@pytest.mark.parametrize("times", [{"started_s": 10.0}, {"silent_since_s": 10.0}])
def test_words_nobody_asked_for_and_questions_nobody_answered_have_no_waiting_time(times: dict[str, float]) -> None:
    assert turn(**times).voice_to_voice_ms is None
    assert turn(**times).stages_ms() == {}


def test_a_turn_as_json_has_no_interruption_until_there_was_one() -> None:
    assert turn().as_json()["interrupted_at"] is None
    assert turn(interrupted_at=5.0).as_json()["interrupted_at"] == 5.0


def test_a_call_is_as_long_as_it_lasted_or_has_lasted_so_far() -> None:
    record = CallRecord("call-1", "loopback", "alice", "agent", started_at=100.0, ended_at=130.5)
    assert record.duration_s == 30.5
    assert CallRecord("call-2", "loopback", "alice", "agent").duration_s < 5


def test_turns_are_kept_in_order() -> None:
    record = CallRecord("call-1", "loopback", "alice", "agent")
    first = record.begin_turn(said="Hello.")
    record.begin_turn(heard="Hi?")
    first.spoken = "Hello."
    assert [(each["heard"], each["spoken"]) for each in record.as_json()["turns"]] == [("", "Hello."), ("Hi?", "")]
