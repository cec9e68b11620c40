"""The report of a call: what was asked, heard and answered, how long each step took, and whether it was right."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.caller import timing
from tools.caller.agent_account import AgentAccount, AgentTurn
from tools.caller.caller import CallRecord
from tools.caller.judge import HeardAnswer, align, hear_answers, hear_greeting, judge
from tools.caller.recorder import Recording
from tools.caller.timing import Lead, RtpQuality, Setup
from tools.caller.trace import PTIME_MS
from tools.caller.transcriber import Transcriber

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One thing the caller said. `heard`, `agent_said`, `source` and `stages_ms` are the connector's own account."""

    caller_said: str
    heard: str | None
    agent_said: str | None
    agent_heard_as: str
    source: str | None
    voice_to_voice_ms: float | None
    stages_ms: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        return {
            "caller_said": self.caller_said,
            "heard": self.heard,
            "agent_said": self.agent_said,
            "agent_heard_as": self.agent_heard_as,
            "source": self.source,
            "voice_to_voice_ms": _rounded(self.voice_to_voice_ms),
            "stages_ms": dict(self.stages_ms),
        }


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The first interruption of a call.

    Attributes:
        onset_to_silence_ms: from the caller's first audible packet to the agent's last, both on the wire.
        decision_to_silence_ms: from the connector's decision to the end of that packet's audio.
    """

    onset_to_silence_ms: float | None = None
    decision_to_silence_ms: float | None = None


@dataclass(slots=True)
class CallReport:
    """One call, and what was wrong with it.

    Attributes:
        lead: of the agent's audio, None where each packet is played as it comes.
    """

    caller: str
    turns: list[TurnReport]
    barge_in: BargeIn
    setup: Setup
    sent: int
    quality: RtpQuality
    greeting_heard_as: str
    problems: list[str]
    rss_mb: Mapping[str, float] = field(default_factory=dict)
    startup_s: Mapping[str, float] = field(default_factory=dict)
    transport: str = "opensips"
    lead: Lead | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        report: dict[str, Any] = {
            "transport": self.transport,
            "turns": [turn.as_json() for turn in self.turns],
            "barge_in": {
                "onset_to_silence_ms": _rounded(self.barge_in.onset_to_silence_ms),
                "decision_to_silence_ms": _rounded(self.barge_in.decision_to_silence_ms),
            },
            "greeting_ms": _rounded(self.setup.greeting_ms),
            "setup_ms": _rounded(self.setup.reply_ms, 2),
            "rtp": {
                "sent": self.sent,
                "received": self.quality.received,
                "lost": self.quality.lost,
                "gap_error_p50_ms": _rounded(self.quality.gap_error_p50_ms, 3),
                "gap_error_p99_ms": _rounded(self.quality.gap_error_p99_ms, 3),
            },
            "rss_mb": {name: round(size, 1) for name, size in self.rss_mb.items()},
            "startup_s": {name: round(seconds, 2) for name, seconds in self.startup_s.items()},
            "ok": self.ok,
        }
        if self.lead is not None:
            report["lead"] = {
                "min_ms": _rounded(self.lead.min_ms),
                "median_ms": _rounded(self.lead.median_ms),
                "gaps": self.lead.gaps,
                "pauses": self.lead.pauses,
            }
        if self.problems:
            report["problems"] = self.problems
        return report


def report_call(record: CallRecord, account: AgentAccount | None, transcribe: Transcriber | None) -> CallReport:
    """Judges a call that has ended; without a transcriber only its timing and its course are judged."""
    trace, script = record.trace, record.script
    recording = Recording(trace)
    utterances = len(script.says)
    problems = list(record.failures)
    turns_heard = _turns_heard(record, account)
    greeting = ""
    if transcribe is None:
        answers = [HeardAnswer("", timing.voice_to_voice_ms(trace, place)) for place in range(utterances)]
    else:
        greeting = hear_greeting(trace, recording, transcribe)
        answers = hear_answers(trace, recording, utterances, transcribe)
        sources = [turn.source if turn else None for turn in turns_heard]
        problems += judge(script, answers, greeting, sources)
    turns = [
        TurnReport(
            caller_said=say.text or str(say.wav),
            heard=turn.heard if turn else None,
            agent_said=turn.said if turn else None,
            agent_heard_as=answer.text,
            source=turn.source if turn else None,
            voice_to_voice_ms=answer.voice_to_voice_ms,
            stages_ms=turn.stages_ms if turn else {},
        )
        for say, answer, turn in zip(script.says, answers, turns_heard, strict=True)
    ]
    barge_in = _barge_in(record, turns_heard)
    if barge_in is None and any(say.interrupt_after_ms is not None for say in script.says):
        problems.append("nothing was interrupted: the answer was over, or never began")
    return CallReport(
        caller=record.caller,
        turns=turns,
        barge_in=barge_in or BargeIn(),
        setup=timing.setup(trace),
        sent=len(trace.sent),
        quality=timing.rtp_quality(trace),
        greeting_heard_as=greeting,
        problems=problems,
        transport=record.transport,
        lead=timing.lead(trace) if record.transport == "twilio" else None,
    )


def medians(reports: Sequence[CallReport]) -> dict[str, float | None]:
    """The middle of each figure over several calls."""
    figures: dict[str, Iterable[float | None]] = {
        "voice_to_voice_ms": (turn.voice_to_voice_ms for report in reports for turn in report.turns),
        "onset_to_silence_ms": (report.barge_in.onset_to_silence_ms for report in reports),
        "decision_to_silence_ms": (report.barge_in.decision_to_silence_ms for report in reports),
        "greeting_ms": (report.setup.greeting_ms for report in reports),
        "setup_ms": (report.setup.reply_ms for report in reports),
        "gap_error_p50_ms": (report.quality.gap_error_p50_ms for report in reports),
        "gap_error_p99_ms": (report.quality.gap_error_p99_ms for report in reports),
        "rss_total_mb": (sum(report.rss_mb.values()) or None for report in reports),
    }
    return {name: _median(values) for name, values in figures.items()}


def write_report(path: Path, reports: Sequence[CallReport]) -> None:
    """The first call's report; of several, with `ok` of all of them, their medians, and every call's own.

    Medians are those of one way to be called: of several, each has its own.
    """
    body = reports[0].as_json()
    if len(reports) > 1:
        body["ok"] = all(report.ok for report in reports)
        figures = {transport: medians(its) for transport, its in by_transport(reports).items()}
        body["medians"] = figures if len(figures) > 1 else medians(reports)
        body["calls"] = [report.as_json() for report in reports]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def by_transport(reports: Sequence[CallReport]) -> dict[str, list[CallReport]]:
    """The reports of each way to be called, in the order of their first."""
    names = dict.fromkeys(report.transport for report in reports)
    return {name: [report for report in reports if report.transport == name] for name in names}


def _turns_heard(record: CallRecord, account: AgentAccount | None) -> list[AgentTurn | None]:
    """For each thing the caller said the connector's account of it."""
    turns = [turn for turn in (account.turns if account else ()) if turn.heard]
    places = align([say.text for say in record.script.says], [turn.heard for turn in turns])
    return [None if place is None else turns[place] for place in places]


def _barge_in(record: CallRecord, turns: Sequence[AgentTurn | None]) -> BargeIn | None:
    """Of the first answer that was really interrupted."""
    for utterance, say in enumerate(record.script.says):
        if say.interrupt_after_ms is None:
            continue
        onset_to_silence_ms = timing.onset_to_silence_ms(record.trace, utterance + 1)
        silent_ns = timing.silent_after_ns(record.trace, utterance + 1)
        if onset_to_silence_ms is None or silent_ns is None:
            continue
        turn = turns[utterance]
        decided_ns = turn.interrupted_at_ns if turn else None
        # The last audible packet may have arrived before the decision; it is heard for its length still.
        silence_ns = silent_ns + PTIME_MS * _NS_PER_MS
        decision_ms = None if decided_ns is None else max(0.0, (silence_ns - decided_ns) / _NS_PER_MS)
        return BargeIn(onset_to_silence_ms, decision_ms)
    return None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(statistics.median(known), 3) if known else None


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
