"""Tables in the docs, filled from what was measured."""

from pathlib import Path

import pytest

from tools.bench.docs import DOCUMENT, MarkerError, begin_marker, end_marker, replaced
from tools.bench.tables import TABLES

ROOT = Path(__file__).parents[3]
TEXT = f"# Title\n\n{begin_marker('a')}\nold\n{end_marker('a')}\n\nBetween.\n\n{begin_marker('b')}\n{end_marker('b')}\n"


def test_a_table_takes_the_place_of_the_former_one() -> None:
    text = replaced(TEXT, {"a": "new"})
    assert f"{begin_marker('a')}\n\nnew\n\n{end_marker('a')}" in text
    assert "old" not in text
    assert replaced(text, {"a": "new"}) == text


def test_the_rest_of_the_document_stays() -> None:
    assert replaced(TEXT, {"b": "new"}) == TEXT.replace(begin_marker("b") + "\n", begin_marker("b") + "\n\nnew\n\n")


def test_a_table_is_taken_as_it_is_written() -> None:
    assert r"\1 \g<0>" in replaced(TEXT, {"a": r"\1 \g<0>"})


@pytest.mark.parametrize("text", ["", f"{begin_marker('a')}\nopen", TEXT + TEXT])
def test_a_document_without_one_place_for_the_table_is_left_alone(text: str) -> None:
    with pytest.raises(MarkerError, match="bench:a"):
        replaced(text, {"a": "new"})


def test_the_document_has_a_place_for_every_table() -> None:
    tables = dict.fromkeys((*TABLES, "targets"), "| measured |")
    text = replaced((ROOT / DOCUMENT).read_text(encoding="utf-8"), tables)
    assert text.count("| measured |") == len(tables)
