"""Tool calls as different servers cut them up."""

import pytest

from core.providers.base import ToolCall
from core.providers.llm.tool_call_deltas import NoToolCall, ToolCallDeltas, arguments_object

Delta = tuple[int | None, str | None, str | None, str | None]


def put_together(*deltas: Delta) -> list[ToolCall]:
    calls = ToolCallDeltas()
    for delta in deltas:
        calls.add(*delta)
    return list(calls.finished())


def test_pieces_of_two_calls_may_alternate() -> None:
    assert put_together(
        (0, "a", "first", ""),
        (1, "b", "second", ""),
        (0, None, None, '{"x":'),
        (1, None, None, "{}"),
        (0, None, None, "1}"),
    ) == [ToolCall("a", "first", {"x": 1}), ToolCall("b", "second", {})]


def test_a_server_that_repeats_id_and_name_means_the_same_call() -> None:
    assert put_together((0, "a", "first", '{"x"'), (0, "a", "first", ":1}")) == [ToolCall("a", "first", {"x": 1})]


@pytest.mark.parametrize("index", [0, None])
def test_another_id_is_another_call_whatever_the_index(index: int | None) -> None:
    assert put_together((index, "a", "first", "{}"), (index, "b", "second", '{"y":'), (index, None, None, "2}")) == [
        ToolCall("a", "first"),
        ToolCall("b", "second", {"y": 2}),
    ]


def test_calls_without_ids_are_given_different_ones() -> None:
    first, second = put_together((0, None, "first", "{}"), (1, None, "second", "{}"))
    assert first.call_id
    assert first.call_id != second.call_id


@pytest.mark.parametrize("text", ["", "  ", "{}", "null"])
def test_no_arguments_are_written_in_several_ways(text: str) -> None:
    assert arguments_object(text) == {}


@pytest.mark.parametrize("text", ['{"number": "+49', "[1]", '"x"', "number=1"])
def test_arguments_that_are_no_object_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(NoToolCall) as refused:
        arguments_object(text)
    assert text not in str(refused.value)


def test_a_call_of_nothing_is_refused() -> None:
    with pytest.raises(NoToolCall):
        put_together((0, "a", None, "{}"))
