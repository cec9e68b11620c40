"""Which figures meet what was asked."""

import pytest

from tests.tools.bench.samples import plane, reports, spread
from tools.bench.targets import Verdict, verdict_table, verdicts


def test_good_figures_meet_every_target() -> None:
    judged = verdicts(reports())
    assert len(judged) == 22
    assert [each.what for each in judged if not each.met] == []


@pytest.mark.parametrize(
    ("bound", "measured", "met"),
    [
        ("at most", 2.0, True),
        ("at most", 2.001, False),
        ("at least", 2.0, True),
        ("at least", 1.999, False),
        ("at most", None, False),
    ],
)
def test_a_target_itself_meets_it_and_no_figure_does_not(bound: str, measured: float | None, met: bool) -> None:
    assert Verdict("figure", measured, bound, 2.0, "ms").met is met


def test_only_what_was_run_is_judged() -> None:
    assert {each.what.split(":")[0] for each in verdicts({"setup": reports()["setup"]})} == {"set-up"}


def test_a_pace_that_is_too_uneven_is_missed_at_that_number_of_calls() -> None:
    missed = [each for each in verdicts({"media": {"runs": [plane(50), plane(250, p99_ms=2.5)]}}) if not each.met]
    assert [each.what for each in missed] == ["media: gap error p99 at 250 calls"]


def test_a_rate_at_which_no_call_was_answered_is_missed() -> None:
    report = reports()["setup"]
    report["runs"][0]["reply_ms"] = spread(None)
    assert [each.met for each in verdicts({"setup": report})] == [False]


def test_a_model_that_hangs_is_given_its_budget_first() -> None:
    report = reports()["takeover"]
    for run in report["runs"]:
        run["first_audio_ms"] = spread(1600.0)
    assert [(each.target, each.met) for each in verdicts({"takeover": report})] == [(1500.0, False), (3500.0, True)]


def test_a_service_that_costs_more_than_it_may_is_missed() -> None:
    report = reports()["grpc"]
    report["stages"]["tts"]["figures"]["wall_ms"] = {"grpc": 10.6, "in_process": 10.0, "ratio": 1.06, "added": 0.6}
    assert [each.met for each in verdicts({"grpc": report})] == [False, True]


def test_a_buffer_that_nearly_ran_dry_and_a_question_without_an_answer_are_missed() -> None:
    report = reports()["both"]
    report["transports"]["twilio"] |= {"lead_min_ms": 40.0, "answered": 29}
    missed = [each.what for each in verdicts({"both": report}) if not each.met]
    assert missed == ["both: twilio's questions answered", "both: least lead in twilio's buffer"]


def test_the_table_says_met_or_missed_beside_each_figure() -> None:
    table = verdict_table([Verdict("a", 1.0, "at most", 2.0, "ms"), Verdict("b", 3.0, "at most", 2.0, "ms")])
    cells = [[cell.strip() for cell in row.split("|")[1:5]] for row in table.split("\n")[2:]]
    assert cells == [["a", "1.00", "at most 2 ms", "MET"], ["b", "3.00", "at most 2 ms", "MISSED"]]
