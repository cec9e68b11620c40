"""Between the text of a setting and the value its type wants."""

import json
import types
from collections.abc import Collection
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic

_SEQUENCES = (list, tuple, set, frozenset)


class SettingValueError(ValueError):
    """The text cannot be what the type wants. `source` is where it came from, if that is already known."""

    def __init__(self, message: str, source: str = "") -> None:
        super().__init__(message)
        self.source = source


def structured(text: str, annotation: Any) -> Any:
    """What pydantic can validate: None for an empty optional value, items for a list, the value of a choice."""
    text = text.strip()
    options, optional = _options(annotation)
    if optional and text.lower() in {"", "none"}:
        return None
    for option in options:
        origin = get_origin(option) or option
        if origin in _SEQUENCES:
            return [structured(item, _item_type(option)) for item in _items(text)]
        if origin is Literal:
            return _choice(text, get_args(option))
        if isinstance(origin, type) and issubclass(origin, Enum):
            return _choice(text, [member.value for member in origin])
    return text


def read_secret_file(text: str, source: str) -> tuple[str, str]:
    """`file:/path` stands for the content of the file, without its last line's end."""
    if not text.startswith("file:"):
        return text, source
    path = Path(text.removeprefix("file:"))
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n"), f"{source}, from {path}"
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingValueError(f"cannot read the secret from {path}: {reason}", source) from error


def holds_secret(annotation: Any) -> bool:
    return any(option in (pydantic.SecretStr, pydantic.SecretBytes) for option in _options(annotation)[0])


def shown(value: Any) -> str:
    """As the value would stand in the file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return shown(value.value)
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return ", ".join(shown(item) for item in value)
    return str(value)


def type_name(annotation: Any) -> str:
    """How a reader of the reference knows the type: "int", "list of str", "json | console"."""
    options, optional = _options(annotation)
    names = []
    for option in options:
        origin = get_origin(option) or option
        if origin in _SEQUENCES:
            names.append(f"list of {type_name(_item_type(option))}")
        elif origin is Literal:
            names.extend(shown(value) for value in get_args(option))
        elif isinstance(origin, type) and issubclass(origin, Enum):
            names.extend(shown(member) for member in origin)
        elif origin is Path:
            names.append("path")
        elif origin is pydantic.SecretStr:
            names.append("secret")
        else:
            names.append(getattr(origin, "__name__", str(origin)))
    return " | ".join(names) + (" (optional)" if optional else "")


def _options(annotation: Any) -> tuple[tuple[Any, ...], bool]:
    """The alternatives of a type, without None, and whether None is one of them."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return (annotation,), False
    arguments = get_args(annotation)
    return tuple(each for each in arguments if each is not type(None)), type(None) in arguments


def _item_type(annotation: Any) -> Any:
    arguments = get_args(annotation)
    return arguments[0] if arguments else str


def _items(text: str) -> list[str]:
    """One item a line; on a single line, a JSON list or items between commas."""
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            return [item if isinstance(item, str) else json.dumps(item) for item in parsed]
    parts = text.splitlines() if "\n" in text else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _choice(text: str, values: Collection[Any]) -> Any:
    """The value that reads like the text, whatever its case."""
    for value in values:
        if shown(value).lower() == text.lower():
            return value
    raise SettingValueError(f"should be one of {', '.join(shown(value) for value in values)}, not {text!r}")
