"""What a model may ask for, and what becomes of what it passes."""

from typing import Any

import pytest

from core.dialogue.action import Action
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.knowledge import Knowledge, parse
from core.dialogue.settings import DialogueSettings
from core.dialogue.tool_arguments import ArgumentError
from core.dialogue.tools import MAX_DIGITS, UNKNOWN, Fetch, Follow, Found, Press, Toolbox
from core.providers.base import ToolCall

KNOWLEDGE = Knowledge(parse("Q: When are you open?\nA: From nine to six.\n\nWe sell tandem bicycles."))
ORDER_STATUS = HttpToolSettings(
    name="order_status",
    description="Says where an order is.",
    url="http://127.0.0.1/orders/{order}",
    parameters='{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}',
)


def _toolbox(http_tool: HttpToolSettings = ORDER_STATUS, knowledge: Knowledge = KNOWLEDGE, **settings: Any) -> Toolbox:
    return Toolbox(DialogueSettings.model_validate(settings), knowledge, http_tool)


def _offered(toolbox: Toolbox) -> list[str]:
    return [tool.name for tool in toolbox.offered]


def test_by_default_everything_that_applies_is_offered_but_keys() -> None:
    assert _offered(_toolbox(transfer_target="sip:desk@example.com")) == [
        "hang_up",
        "transfer",
        "look_up",
        "order_status",
    ]


def test_what_does_not_apply_is_not_offered() -> None:
    toolbox = _toolbox(HttpToolSettings(), Knowledge([]))

    assert _offered(toolbox) == ["hang_up"]
    with pytest.raises(ArgumentError, match="no such tool"):
        toolbox.understand(ToolCall("1", "transfer"))


def test_only_tools_that_are_named_are_offered() -> None:
    assert _offered(_toolbox(tools=["send_digits"])) == ["send_digits"]
    assert _offered(_toolbox(tools=[])) == []


def test_a_transfer_goes_nowhere_that_the_model_names() -> None:
    toolbox = _toolbox(transfer_target="sip:desk@example.com")

    assert toolbox.understand(ToolCall("1", "transfer")) == Follow(Action.TRANSFER)
    with pytest.raises(ArgumentError):
        toolbox.understand(ToolCall("1", "transfer", {"target": "+1900555"}))


def test_hanging_up_takes_no_arguments() -> None:
    assert _toolbox().understand(ToolCall("1", "hang_up")) == Follow(Action.HANG_UP)


def test_looking_up_finds_answers_and_passages() -> None:
    toolbox = _toolbox()

    assert toolbox.understand(ToolCall("1", "look_up", {"query": "tandem bicycles"})) == Found(
        "We sell tandem bicycles."
    )
    assert toolbox.understand(ToolCall("1", "look_up", {"query": "giraffe"})) == Found("")


@pytest.mark.parametrize(("asked", "digits"), [("12#", "12#"), ("*a", "*A"), (5, "5")])
def test_keys_are_pressed_as_the_leg_takes_them(asked: object, digits: str) -> None:
    toolbox = _toolbox(tools=["send_digits"])

    assert toolbox.understand(ToolCall("1", "send_digits", {"digits": asked})) == Press(digits)


@pytest.mark.parametrize("digits", ["", "12x", "1 2", "\u0661", "1" * (MAX_DIGITS + 1), None, ["1"]])
def test_what_is_no_key_is_not_pressed(digits: object) -> None:
    with pytest.raises(ArgumentError):
        _toolbox(tools=["send_digits"]).understand(ToolCall("1", "send_digits", {"digits": digits}))


def test_a_request_goes_to_the_declared_address() -> None:
    asked = _toolbox().understand(ToolCall("1", "order_status", {"order": "47/11"}))

    assert isinstance(asked, Fetch)
    assert asked.address == "http://127.0.0.1/orders/47%2F11"


def test_a_name_that_the_model_made_up_has_no_label_of_its_own() -> None:
    assert _toolbox().label(ToolCall("1", "hang_up")) == "hang_up"
    assert _toolbox().label(ToolCall("1", "send_money")) == UNKNOWN


def test_arguments_are_not_shown_where_a_request_is_logged() -> None:
    asked = _toolbox().understand(ToolCall("1", "order_status", {"order": "4711"}))

    assert "4711" not in repr(asked)
