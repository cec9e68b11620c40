"""How many calls are taken, how long one may last, and which are placed."""

import re
from typing import ClassVar, Self

from pydantic import field_validator, model_validator

from core.calls.dialled import dialled
from services.common.settings import Section, key


class CallSettings(Section):
    """Limits, as deployed configurations name them."""

    section: ClassVar[str] = "performance"
    max_concurrent_sessions: int = key(
        10, env="MAX_CONCURRENT_SESSIONS", ge=1, le=10000, help="Calls at a time; further ones are answered 503"
    )
    session_timeout_minutes: float = key(
        30.0, unit="min", gt=0, le=1440, help="Length of a call after which the agent says goodbye"
    )
    memory_limit_mb: int = key(
        512, unit="MB", ge=64, help="Resident memory of this process above which further calls are answered 503"
    )
    drain_timeout_s: float = key(
        30.0, env="DRAIN_TIMEOUT_S", unit="s", ge=0, le=86400, help="How long calls may go on after SIGTERM"
    )
    call_history: int = key(100, ge=0, le=10000, help="Ended calls that the management interface remembers")


class OutboundSettings(Section):
    """Whether calls may be placed, whereto, and how many: what a stolen token could cost is decided here."""

    section: ClassVar[str] = "outbound"
    enabled: bool = key(False, env="OUTBOUND_ENABLED", help="Whether POST /api/v1/calls places calls")
    transport: str = key("twilio", min_length=1, help="The enabled transport that places them")
    caller: str = key(
        "", env="OUTBOUND_CALLER", help="Number or SIP URI of ours that is called from; needed where enabled"
    )
    allow: tuple[str, ...] = key(
        (),
        help="Regular expressions, one a line; a number in E.164 or a SIP URI is called if one of them matches all of"
        " it. Without any, nothing is",
    )
    max_concurrent: int = key(2, ge=1, le=1000, help="Placed calls at a time, those that ring included")
    max_per_minute: int = key(5, ge=1, le=1000, help="Calls placed in any minute")
    max_per_hour: int = key(60, ge=1, le=10000, help="Calls placed in any hour")
    max_per_hour_to_one: int = key(3, ge=1, le=1000, help="Calls placed to one number in any hour")
    unanswered_after_s: float = key(
        90.0,
        unit="s",
        gt=0,
        le=600,
        help="A placed call that has not come in by then was not answered, and counts no longer as one at a time;"
        " more than it may ring",
    )

    @field_validator("caller")
    @classmethod
    def _is_ours(cls, value: str) -> str:
        return dialled(value) if value else value

    @field_validator("allow")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            # `{6,9}` on a line with others, or alone, is taken for two items.
            if pattern.count("{") != pattern.count("}"):
                raise ValueError(f'{pattern!r} was cut at a comma: write a JSON list, ["\\\\+49[0-9]{{6,9}}"]')
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _calls_from_somewhere(self) -> Self:
        if self.enabled and not self.caller:
            raise ValueError("caller must be set where calls are placed")
        return self
