"""Arguments of a model, held against a flat JSON Schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialogue.tool_arguments import MAX_TEXT, ArgumentError, check_schema, checked

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "maxLength": 8},
        "people": {"type": "integer", "minimum": 1, "maximum": 12},
        "price": {"type": "number"},
        "inside": {"type": "boolean"},
        "size": {"type": "string", "enum": ["small", "large"]},
    },
    "required": ["order"],
}


@pytest.mark.parametrize(
    ("name", "passed", "understood"),
    [
        ("order", "A 4711", "A 4711"),
        ("order", 4711, "4711"),
        ("people", 2, 2),
        ("people", "2", 2),
        ("people", 2.0, 2),
        ("price", "4.5", 4.5),
        ("price", 4, 4),
        ("inside", True, True),
        ("size", "small", "small"),
    ],
)
def test_a_value_is_taken_as_what_it_is_declared_to_be(name: str, passed: object, understood: object) -> None:
    found = checked({"order": "x", name: passed}, SCHEMA)[name]

    assert (found, type(found)) == (understood, type(understood))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"order": None},
        {"order": ["4711"]},
        {"order": {"a": 1}},
        {"order": True},
        {"order": "123456789"},
        {"order": "47\n11"},
        {"order": "x", "colour": "red"},
        {"order": "x", "people": 0},
        {"order": "x", "people": 13},
        {"order": "x", "people": 1.5},
        {"order": "x", "people": "many"},
        {"order": "x", "people": True},
        {"order": "x", "price": float("nan")},
        {"order": "x", "inside": "yes"},
        {"order": "x", "size": "huge"},
    ],
)
def test_anything_else_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        checked(arguments, SCHEMA)


def test_a_text_without_a_limit_of_its_own_has_one() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}

    assert checked({"text": "x" * MAX_TEXT}, schema)
    with pytest.raises(ArgumentError):
        checked({"text": "x" * (MAX_TEXT + 1)}, schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x"]) | st.text(), JSON))
def test_whatever_a_model_passes_is_taken_or_refused(arguments: dict[str, Any]) -> None:
    try:
        found = checked(arguments, SCHEMA)
    except ArgumentError:
        return
    assert found.keys() <= SCHEMA["properties"].keys()
    assert all(isinstance(value, str | int | float | bool) for value in found.values())


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"type": "array"},
        {"type": "object", "anyOf": []},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": "string"}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": "x"}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": "9"}}},
        {"type": "object", "properties": {}, "required": ["a"]},
        {"type": "object", "properties": {}, "required": "a"},
    ],
)
def test_a_schema_that_could_not_be_enforced_is_refused(schema: object) -> None:
    with pytest.raises(ValueError, match=r"expected|supported|must"):
        check_schema(schema)


@given(JSON)
def test_whatever_a_schema_is_it_is_taken_or_refused(schema: object) -> None:
    try:
        check_schema(schema)
    except ValueError:
        return
    assert isinstance(schema, dict)
