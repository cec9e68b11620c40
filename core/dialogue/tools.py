"""What a call's model may ask for, and what its asking comes to: decided here, done by the pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.dialogue.action import Action
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.knowledge import Knowledge
from core.dialogue.settings import DialogueSettings
from core.dialogue.tool_arguments import ArgumentError, Value, checked
from core.providers.base import Tool, ToolCall

UNKNOWN = "unknown"
MAX_DIGITS = 32
_KEYS = frozenset("0123456789*#ABCD")
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}

HANG_UP = Tool(
    "hang_up",
    "Ends the call. Only once the caller has said goodbye or wants nothing more. Say goodbye before.",
    _NOTHING,
)
TRANSFER = Tool(
    "transfer",
    "Puts the caller through to a person. Only where the caller asks for one, or cannot be helped otherwise.",
    _NOTHING,
)
SEND_DIGITS = Tool(
    "send_digits",
    "Presses keys of the telephone, as for a menu at the other end.",
    {
        "type": "object",
        "properties": {
            "digits": {
                "type": "string",
                "description": "Keys in order: 0-9, *, #, A-D",
                "minLength": 1,
                "maxLength": MAX_DIGITS,
            }
        },
        "required": ["digits"],
    },
)
LOOK_UP = Tool(
    "look_up",
    "Searches what the business knows: hours, prices, services, rules. Use it before stating any fact.",
    {
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "description": "What to look for, in a few words",
                "minLength": 1,
                "maxLength": 200,
            }
        },
        "required": ["query"],
    },
)
NOTHING_FOUND = "Nothing is known about that."


@dataclass(frozen=True, slots=True)
class Follow:
    """Something that follows once the caller has heard the reply."""

    action: Action


@dataclass(frozen=True, slots=True)
class Press:
    """Keys to be pressed, after what is being said."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What was looked up, if anything."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request to the operator's server; `address` is where it goes."""

    tool: HttpToolSettings
    arguments: Mapping[str, Value] = field(repr=False)
    address: str = field(repr=False)


Request = Follow | Press | Found | Fetch


class Toolbox:
    """The tools of one call: those that the settings name, as far as they apply."""

    def __init__(self, settings: DialogueSettings, knowledge: Knowledge, http_tool: HttpToolSettings) -> None:
        self._settings = settings
        self._knowledge = knowledge
        self._http_tool = http_tool
        self._known: dict[str, tuple[Tool, Callable[[dict[str, Value]], Request]]] = {}
        for name in settings.tools:
            match name:
                case "hang_up":
                    self._add(HANG_UP, lambda _: Follow(Action.HANG_UP))
                case "transfer" if settings.transfer_target:
                    self._add(TRANSFER, lambda _: Follow(Action.TRANSFER))
                case "send_digits":
                    self._add(SEND_DIGITS, self._press)
                case "look_up" if knowledge.entries:
                    self._add(LOOK_UP, self._look_up)
                case "http_tool" if http_tool.name:
                    self._add(http_tool.declared, self._fetch)

    @property
    def offered(self) -> tuple[Tool, ...]:
        return tuple(tool for tool, _ in self._known.values())

    def label(self, call: ToolCall) -> str:
        """The tool's name, for metrics and the log: none that a model made up."""
        return call.name if call.name in self._known else UNKNOWN

    def understand(self, call: ToolCall) -> Request:
        """What the model asks for; changes nothing.

        Raises:
            ArgumentError: there is no such tool, or it does not take these arguments. The text is for the model.
        """
        if call.name not in self._known:
            raise ArgumentError("There is no such tool.")
        tool, understand = self._known[call.name]
        return understand(checked(call.arguments, tool.parameters))

    def _add(self, tool: Tool, understand: Callable[[dict[str, Value]], Request]) -> None:
        self._known[tool.name] = tool, understand

    def _press(self, arguments: dict[str, Value]) -> Press:
        digits = str(arguments["digits"]).upper()
        if not _KEYS.issuperset(digits):
            raise ArgumentError("Only the keys 0-9, *, # and A-D can be pressed.")
        return Press(digits)

    def _look_up(self, arguments: dict[str, Value]) -> Found:
        return Found(
            " ".join(
                match.entry.answer
                for match in self._knowledge.search(str(arguments["query"]))
                if match.score >= self._settings.retrieval_threshold
            )
        )

    def _fetch(self, arguments: dict[str, Value]) -> Fetch:
        return Fetch(self._http_tool, arguments, self._http_tool.address(arguments))
