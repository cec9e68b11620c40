"""Checks what a model passes to a tool against the tool's parameters: a flat object of JSON Schema.

Of a property this knows type (string, integer, number, boolean), enum, minLength, maxLength, minimum and maximum. A
schema that asks for more is refused when it is loaded, so that nothing it demands goes unchecked.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 500
_TYPES = ("string", "integer", "number", "boolean")
_NOTES = frozenset({"title", "description", "default", "examples"})
_OF_OBJECT = _NOTES | {"type", "properties", "required", "additionalProperties"}
_OF_PROPERTY = _NOTES | {"type", "enum", "minLength", "maxLength", "minimum", "maximum"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")

Value = str | int | float | bool


class ArgumentError(ValueError):
    """The arguments are not what the tool takes; the text may be shown to the model."""


def check_schema(schema: object) -> None:
    """Raises ValueError where a schema is not one that `checked` can hold arguments against."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValueError('a JSON Schema with "type": "object" is expected')
    if unknown := schema.keys() - _OF_OBJECT:
        raise ValueError(f"{sorted(unknown)[0]!r} is not supported here")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ValueError("properties must be an object")
    for name, declared in properties.items():
        _check_property(name, declared)
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(name in properties for name in required):
        raise ValueError("required must list names of properties")


def checked(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Value]:
    """The arguments as their declared types: a model that quotes a number, or does not quote a text, is understood.

    Raises:
        ArgumentError: one is missing, unknown, or cannot be what it is declared to be.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    if any(name not in properties for name in arguments):
        raise ArgumentError(f"It takes only: {', '.join(properties) or 'no arguments'}.")
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    if missing:
        raise ArgumentError(f"It needs: {', '.join(missing)}.")
    return {name: _checked(name, value, properties[name]) for name, value in arguments.items()}


def _check_property(name: str, declared: object) -> None:
    if not isinstance(declared, dict) or declared.get("type") not in _TYPES:
        raise ValueError(f"the type of {name!r} must be one of {', '.join(_TYPES)}")
    if unknown := declared.keys() - _OF_PROPERTY:
        raise ValueError(f"{sorted(unknown)[0]!r} of {name!r} is not supported here")
    if not isinstance(declared.get("enum", []), list):
        raise ValueError(f"enum of {name!r} must be a list")
    for bound in ("minLength", "maxLength", "minimum", "maximum"):
        if not isinstance(declared.get(bound, 0), int | float):
            raise ValueError(f"{bound} of {name!r} must be a number")


def _checked(name: str, value: object, declared: Mapping[str, Any]) -> Value:
    found = _typed(value, declared["type"])
    if found is None:
        raise ArgumentError(f"{name} must be of type {declared['type']}.")
    if "enum" in declared and found not in declared["enum"]:
        raise ArgumentError(f"{name} must be one of: {', '.join(map(str, declared['enum']))}.")
    if isinstance(found, str):
        if _CONTROL.search(found):
            raise ArgumentError(f"{name} must be plain text.")
        measured, low, high = len(found), declared.get("minLength", 0), declared.get("maxLength", MAX_TEXT)
        if not low <= measured <= high:
            raise ArgumentError(f"{name} must have {low} to {high} characters.")
    elif not declared.get("minimum", -math.inf) <= found <= declared.get("maximum", math.inf):
        raise ArgumentError(f"{name} is out of range.")
    return found


def _typed(value: object, kind: str) -> Value | None:
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if kind == "string":
        return str(value) if isinstance(value, str | int) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, float) and (not math.isfinite(value) or (kind == "integer" and not value.is_integer())):
        return None
    if not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else value
