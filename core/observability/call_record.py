"""The record of one call: its turns, each with what was said and where the time went."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class TurnRecord:
    """One reply of the agent's, and what it answered. Times are monotonic seconds, 0 where a stage did not happen.

    Attributes:
        heard: the caller's words as recognised; "" where the agent spoke of its own accord.
        said: what the agent set out to say.
        spoken: the part of it that the caller heard.
        silent_since_s: the caller's last speech.
        decided_s: the turn was taken to be over.
        recognised_s: its final transcript was there.
        answered_s: the first words of the answer were there.
        synthesised_s: the first audio of the answer was there.
        started_s: the first audio went out.
        interrupted_at: wall-clock time of the decision that the caller interrupts.
    """

    heard: str = ""
    said: str = ""
    spoken: str = ""
    source: str = "dialogue"
    interrupted: bool = False
    silent_since_s: float = 0.0
    decided_s: float = 0.0
    recognised_s: float = 0.0
    answered_s: float = 0.0
    synthesised_s: float = 0.0
    started_s: float = 0.0
    interrupted_at: float = 0.0

    @property
    def voice_to_voice_ms(self) -> float | None:
        """From the caller's last speech to the agent's first, or None where the agent did not answer."""
        if not self.silent_since_s or not self.started_s:
            return None
        return (self.started_s - self.silent_since_s) * 1000

    def stages_ms(self) -> dict[str, float]:
        """The same time, split by stage. A stage done ahead of its turn counts nothing; the sum is the total."""
        if self.voice_to_voice_ms is None:
            return {}
        stages: dict[str, float] = {}
        reached = self.silent_since_s
        for name, done_s in (
            ("endpoint", self.decided_s),
            ("recognition", self.recognised_s),
            ("answer", self.answered_s),
            ("synthesis", self.synthesised_s),
            ("playout", self.started_s),
        ):
            # What the caller did not wait for, having been given a filler, is not counted.
            waited_until_s = max(reached, min(done_s, self.started_s))
            stages[name] = round((waited_until_s - reached) * 1000, 1)
            reached = waited_until_s
        stages["total"] = round(self.voice_to_voice_ms, 1)
        return stages

    def as_json(self) -> dict[str, Any]:
        return {
            "heard": self.heard,
            "said": self.said,
            "spoken": self.spoken,
            "source": self.source,
            "interrupted": self.interrupted,
            "interrupted_at": self.interrupted_at or None,
            "stages_ms": self.stages_ms(),
        }


@dataclass(slots=True)
class CallRecord:
    """What is known of a call while it is up and after it has ended. Times are wall-clock seconds.

    Attributes:
        agent: the name of the agent that answers.
        providers: stage -> the name of the provider that serves it as the call begins; another may take over.
    """

    call_id: str
    transport: str
    caller: str
    called: str
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    end_reason: str | None = None
    agent: str = ""
    providers: dict[str, str] = field(default_factory=dict)
    turns: list[TurnRecord] = field(default_factory=list)
    media: dict[str, Any] = field(default_factory=dict)

    def begin_turn(self, **fields: Any) -> TurnRecord:
        turn = TurnRecord(**fields)
        self.turns.append(turn)
        return turn

    @property
    def duration_s(self) -> float:
        return (self.ended_at or time.time()) - self.started_at

    def as_json(self) -> dict[str, Any]:
        return {
            "call_id": self.call_id,
            "transport": self.transport,
            "caller": self.caller,
            "called": self.called,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "end_reason": self.end_reason,
            "agent": self.agent,
            "providers": self.providers,
            "turns": [turn.as_json() for turn in self.turns],
            "media": self.media,
        }
