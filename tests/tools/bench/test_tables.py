"""Figures as tables that people read."""

import pytest

from tests.tools.bench.samples import reports
from tools.bench.tables import TABLES, described, markdown


def test_the_first_column_is_a_name_and_the_others_are_numbers() -> None:
    assert markdown(("what", "ms"), [("reply", 1.5), ("a longer name", None)]) == (
        "| what          |  ms |\n"
        "| ------------- | --: |\n"
        "| reply         | 1.5 |\n"
        "| a longer name |   - |"
    )  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_one_that_markdown_shows(name: str) -> None:
    blocks = TABLES[name](reports()[name]).split("\n\n")
    rows = blocks[0].split("\n")
    assert len(rows) >= 3
    assert len({row.count("|") for row in rows}) == 1


def test_the_calls_that_were_not_answered_are_counted_together() -> None:
    row = TABLES["setup"](reports()["setup"]).split("\n")[2]
    assert [cell.strip() for cell in row.split("|")[1:5]] == ["50", "500", "6", "1.50"]


def test_what_grpc_adds_is_shown_in_percent() -> None:
    assert "+4.0 %" in TABLES["grpc"](reports()["grpc"])


def test_a_stage_that_no_turn_had_is_a_dash() -> None:
    row = TABLES["voice"](reports()["voice"]).split("\n")[2]
    assert [cell.strip() for cell in row.split("|")[7:13]] == ["400", "-", "-", "-", "-", "120"]


def test_a_conversation_alone_has_no_calls_beside_it() -> None:
    row = TABLES["beside"](reports()["beside"]).split("\n")[2]
    assert [cell.strip() for cell in row.split("|")[1:6]] == ["0", "-", "-", "-", "-"]


def test_only_what_is_sent_ahead_has_a_lead() -> None:
    rows = TABLES["both"](reports()["both"]).split("\n")[2:4]
    assert [[cell.strip() for cell in row.split("|")[1:10]][-2:] for row in rows] == [["-", "-"], ["270", "280"]]


def test_what_failed_on_calls_is_named_below_the_figures() -> None:
    report = reports()["both"]
    assert TABLES["both"](report).endswith("Failures: none.")
    report["transports"]["twilio"]["failures"] = ["it rang and rang"]
    assert TABLES["both"](report).endswith("Failures:\n- it rang and rang")


def test_wrong_answers_are_named_below_the_figures() -> None:
    assert TABLES["voice"](reports()["voice"]).endswith("\n- one was wrong")


@pytest.mark.parametrize(
    ("name", "load"), [("setup", "0.50, 0.25, 0.12"), ("asr", "0.50"), ("media", "0.50, 0.50")]
)  # fmt: skip
def test_each_table_says_when_and_beside_what_it_was_measured(name: str, load: str) -> None:
    text = described(reports()[name])
    assert "2026-01-02" in text
    assert text.endswith(f"load average {load}.")
