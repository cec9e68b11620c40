"""Tool calls put together from the pieces they are streamed in (OpenAI's chat completion chunks)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from core.providers.base import ToolCall


class NoToolCall(ValueError):
    """What the model wrote is no call: no name, or arguments that are no JSON object."""


@dataclass(slots=True)
class _Partial:
    index: int | None
    call_id: str
    name: str = ""
    arguments: str = ""


class ToolCallDeltas:
    """The calls of one answer: `add` each delta as it comes, `finished` once the answer has ended."""

    def __init__(self) -> None:
        self._partials: list[_Partial] = []

    def __bool__(self) -> bool:
        """Whether any was begun."""
        return bool(self._partials)

    def add(self, index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> None:
        partial = self._partial(index, call_id)
        partial.name = partial.name or name or ""
        partial.arguments += arguments or ""

    def finished(self) -> Iterator[ToolCall]:
        """In the order they were begun.

        Raises:
            NoToolCall: its text repeats nothing of the model's.
        """
        for partial in self._partials:
            if not partial.name:
                raise NoToolCall("a tool call without a name")
            yield ToolCall(partial.call_id or new_call_id(), partial.name, arguments_object(partial.arguments))

    def _partial(self, index: int | None, call_id: str | None) -> _Partial:
        """Some servers leave the index out, or give every call the same one: another id is another call."""
        for partial in reversed(self._partials):
            if partial.index == index and (not call_id or not partial.call_id or call_id == partial.call_id):
                partial.call_id = partial.call_id or call_id or ""
                return partial
        self._partials.append(_Partial(index, call_id or ""))
        return self._partials[-1]


def new_call_id() -> str:
    """For a call to which its server gave none; unlike all others of the conversation."""
    return f"call_{uuid4().hex[:12]}"


def arguments_object(text: str) -> dict[str, Any]:
    """A tool without parameters is called with nothing, `null` or `{}`, depending on the model.

    Raises:
        NoToolCall: it is no JSON object, most often because the answer's token limit cut it off.
    """
    try:
        arguments = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise NoToolCall("a tool call whose arguments are no JSON") from error
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise NoToolCall("a tool call whose arguments are no JSON object")
    return arguments
