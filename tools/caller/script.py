"""What a caller does in one call, as a TOML file tells it."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tools.caller.facts import Fact


class ScriptError(Exception):
    """The script cannot be played.

    Attributes:
        problems: all that is wrong with it, each naming the step and the key.
    """

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.problems = problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Strict):
    """What the caller's packets meet on their way, the same for the same seed."""

    seed: int = 1
    loss_percent: float = Field(default=0.0, ge=0, le=100)
    jitter_ms: float = Field(default=0.0, ge=0, le=1000)
    reorder_percent: float = Field(default=0.0, ge=0, le=100)
    duplicate_percent: float = Field(default=0.0, ge=0, le=100)
    noise_dbfs: float | None = Field(default=None, ge=-90, le=-10)


class _Judged(_Strict):
    expect: tuple[str, ...] = ()

    @field_validator("expect", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("expect")
    @classmethod
    def _patterns_compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                Fact(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value


class Listen(_Judged):
    """Waits until the agent has spoken and is quiet again: the greeting, or what follows a key press."""

    do: Literal["listen"]
    within_s: float = Field(default=10.0, gt=0)
    quiet_ms: int = Field(default=900, ge=100)


class Say(_Judged):
    """Says something, then waits for the answer's end, or for the moment to interrupt it.

    Attributes:
        expect: regular expressions on the normalised transcript of the answer, as far as it was heard; all must occur.
        source: where the answer must come from, as the connector itself reports it.
        interrupt_after_ms: the next step begins so long after the answer began, while it is being spoken.
        answered: whether an answer is waited for at all.
    """

    do: Literal["say"]
    text: str = ""
    wav: Path | None = None
    source: Literal["knowledge", "model", "dialogue"] | None = None
    interrupt_after_ms: int | None = Field(default=None, ge=0)
    answered: bool = True
    within_s: float = Field(default=15.0, gt=0)
    quiet_ms: int = Field(default=900, ge=100)

    @model_validator(mode="after")
    def _has_words(self) -> "Say":
        if not self.text.strip() and self.wav is None:
            raise ValueError("needs `text`, or `wav` (then `text` says what is in it)")
        if self.interrupt_after_ms is not None and not self.answered:
            raise ValueError("`interrupt_after_ms` needs an answer to interrupt")
        return self


class Press(_Strict):
    """Presses keys: as telephone events (RFC 4733) or as SIP INFO."""

    do: Literal["press"]
    digits: str = Field(pattern=r"^[0-9*#A-D]+$")
    by: Literal["rfc4733", "info"] = "rfc4733"


class Hold(_Strict):
    """Puts the agent on hold by re-INVITE, and takes the call back."""

    do: Literal["hold"]
    for_ms: int = Field(gt=0)
    direction: Literal["sendonly", "inactive"] = "sendonly"


class Wait(_Strict):
    """Stays on the line and says nothing."""

    do: Literal["wait"]
    for_ms: int = Field(gt=0)


class HangUp(_Strict):
    """Ends the call. A script that ends without it waits for the agent to end the call."""

    do: Literal["hang_up"]


Step = Annotated[Listen | Say | Press | Hold | Wait | HangUp, Field(discriminator="do")]


class CallScript(_Strict):
    """One call.

    Attributes:
        caller: user part of From.
        called: user part of To.
        hang_up_within_s: how long the agent may take to end a call that the script does not end.
        first_sequence_number: of the caller's packets, random unless set: near 65535 it soon wraps.
        first_timestamp: likewise, near 2**32 - 1.
    """

    caller: str = Field(default="5550100", pattern=r"^[A-Za-z0-9_.+-]+$")
    called: str = Field(default="reception", pattern=r"^[A-Za-z0-9_.+-]+$")
    codec: Literal["PCMU", "PCMA"] = "PCMU"
    answer_within_s: float = Field(default=5.0, gt=0)
    hang_up_within_s: float = Field(default=30.0, gt=0)
    first_sequence_number: int | None = Field(default=None, ge=0, le=65535)
    first_timestamp: int | None = Field(default=None, ge=0, le=2**32 - 1)
    network: Network = Network()
    step: tuple[Step, ...]

    @model_validator(mode="after")
    def _steps_follow_each_other(self) -> "CallScript":
        if not self.step:
            raise ValueError("it has no step: nothing would happen")
        for number, step in enumerate(self.step, 1):
            following = self.step[number] if number < len(self.step) else None
            if isinstance(step, Say) and step.interrupt_after_ms is not None and not isinstance(following, Say):
                raise ValueError(f"step {number} is to be interrupted, but the next step says nothing")
            if isinstance(step, HangUp) and following is not None:
                raise ValueError(f"step {number} hangs up, yet {len(self.step) - number} follow it")
        return self

    @property
    def says(self) -> tuple[Say, ...]:
        """What the caller says, in order: the turns of the call."""
        return tuple(step for step in self.step if isinstance(step, Say))


def load_script(path: Path) -> CallScript:
    """Reads a script; WAV files are looked up beside it.

    Raises:
        ScriptError: with everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(str(path), (f"cannot be read: {error}",)) from error
    script = parse_script(text, source=str(path))
    missing = tuple(
        f"{_place(script, step)}wav: {step.wav} does not exist"
        for step in script.says
        if step.wav is not None and not (path.parent / step.wav).is_file()
    )
    if missing:
        raise ScriptError(str(path), missing)
    steps = tuple(
        step.model_copy(update={"wav": path.parent / step.wav}) if isinstance(step, Say) and step.wav else step
        for step in script.step
    )
    return script.model_copy(update={"step": steps})


def parse_script(text: str, source: str = "script") -> CallScript:
    """Raises: ScriptError, with everything that is wrong."""
    try:
        return CallScript.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(source, (f"no TOML: {error}",)) from error
    except ValidationError as error:
        problems = tuple(_problem(detail["loc"], detail["msg"]) for detail in error.errors())
        raise ScriptError(source, problems) from error


def _problem(location: tuple[int | str, ...], message: str) -> str:
    parts = list(location)
    place = ""
    if parts[:1] == ["step"] and len(parts) > 1 and isinstance(parts[1], int):
        place = f"step {parts[1] + 1}: "
        # After the step's number comes the name of its kind, which its `do` shows already.
        parts = parts[3:]
    key = ".".join(str(part) for part in parts)
    return f"{place}{key + ': ' if key else ''}{message.removeprefix('Value error, ')}"


def _place(script: CallScript, step: Say) -> str:
    return f"step {script.step.index(step) + 1}: "
