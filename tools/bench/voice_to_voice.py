"""Twenty questions over the telephone, answered by the real engines: `python -m tools.bench.voice_to_voice`.

From the last packet in which the caller can be heard to the first of the answer, as both passed the phone's socket;
the split by stage is core's own account of the same turn.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.settings import config_file
from tools.bench.figures import FOLDER, Report, conditions, spread, write
from tools.bench.tables import voice_table
from tools.caller.agent_account import AgentAccount, Management
from tools.caller.batch import render_speeches
from tools.caller.caller import CallRecord, play_call
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.report import CallReport, TurnReport, report_call
from tools.caller.script import CallScript, HangUp, Listen, Say
from tools.caller.sip_line import SipLine
from tools.caller.transcriber import Transcriber, whisper_transcriber
from tools.caller.wire import Wire
from tools.oavc import layouts
from tools.oavc.console import tell
from tools.oavc.stack import LOG_FOLDER, SERVICES, Layout, Stack

# What is asked of config/knowledge.md, and what a right answer contains; questions without are the model's.
QUESTIONS = (
    ("Hello. When are you open?", "nine (?:to )?six"),
    ("Are you open on Sunday?", "closed"),
    ("What is your address?", "station roads?"),
    ("What should I wear in the rain?", ""),
    ("Where can I park?", "behind the shop"),
    ("How much does it cost to fix a flat tire?", "twelve dollars"),
    ("How much is a full service?", "sixty dollars"),
    ("Why is it good to ride a bike?", ""),
    ("How long does a repair take?", "next day"),
    ("Is there a warranty on repairs?", "six months"),
    ("Do I need an appointment?", "not need an appointment"),
    ("Can you pick up my bike?", "ten dollars"),
    ("What is a good gift for a child?", ""),
    ("How much is it to rent a bike?", "twenty dollars"),
    ("Do you sell electric bikes?", "electric"),
    ("Do you sell helmets?", "thirty dollars"),
    ("How can I stay warm in winter?", ""),
    ("Do you buy used bikes?", "offer"),
    ("How can I pay?", "card"),
    ("Are you open on public holidays?", "closed"),
)
TURNS_PER_CALL = 10
STAGES = ("endpoint", "recognition", "answer", "synthesis", "playout")
# The model may ask for a moment before it answers.
_MODEL_QUIET_MS = 2000
_SUBSCRIBED_TIMEOUT_S = 30.0
# How long core's last words about a call may come after its end.
_ACCOUNT_TIMEOUT_S = 3.0
_POLL_S = 0.1


def scripts(
    questions: Sequence[tuple[str, str]] = QUESTIONS, turns_per_call: int = TURNS_PER_CALL
) -> Iterator[CallScript]:
    """Calls of so many turns each, one caller after the other."""
    for number, start in enumerate(range(0, len(questions), turns_per_call)):
        says = [
            Say(do="say", text=text, expect=(fact,), source="knowledge")
            if fact
            else Say(do="say", text=text, quiet_ms=_MODEL_QUIET_MS)
            for text, fact in questions[start : start + turns_per_call]
        ]
        yield CallScript(caller=f"55502{number:02}", step=(Listen(do="listen"), *says, HangUp(do="hang_up")))


def make_layout(mi_port: int, *, scripted: bool) -> Layout:
    """The processes as configured, on ports of their own; `scripted` providers need no services."""
    layout = layouts.private(config_file(os.environ), mi_port)
    if not scripted:
        return layout
    providers = {f"{name.upper()}_PROVIDER": "scripted" for name in SERVICES}
    # A service on another machine is left alone.
    elsewhere = {name: ("unused.invalid", port) for name, (_, port) in layout.services.items()}
    return Layout(elsewhere, layout.management_port, {**layout.environ, **providers})


async def measure(
    calls: Sequence[CallScript], load: Callable[[], Transcriber] | None, *, scripted: bool = False
) -> Report:
    """Without a transcriber, which is loaded at the end, whether answers were right is not judged.

    Raises:
        StartFailed: a process did not get ready.
        SpeechError: the caller's words cannot be rendered.
    """
    report = conditions()
    speeches = [render_speeches(script) for script in calls]
    opensips = OpenSipsStandIn()
    await opensips.start()
    try:
        layout = make_layout(opensips.mi_port, scripted=scripted)
        async with Stack(layout, for_calls=True, log_folder=LOG_FOLDER / "bench") as stack:
            await stack.ready()
            await opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
            with Wire() as wire:
                played = [
                    await converse(opensips, wire, layout, script, pcm)
                    for script, pcm in zip(calls, speeches, strict=True)
                ]
    finally:
        await opensips.stop()
    # Transcribed once all is over, so that it takes nothing from the calls.
    transcriber = load() if load else None
    return report | summary([report_call(record, account, transcriber) for record, account in played])


async def converse(
    opensips: OpenSipsStandIn,
    wire: Wire,
    layout: Layout,
    script: CallScript,
    speeches: Sequence[bytes],
) -> tuple[CallRecord, AgentAccount | None]:
    """One call, with core's account of it where it has one."""
    since = time.time() - 1.0
    record = await play_call(SipLine(opensips, wire), script, speeches)
    management, account = Management(layout.management_url), None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ACCOUNT_TIMEOUT_S):
            while account is None or not account.ended:
                account = await management.find(script.caller, since)
                await asyncio.sleep(_POLL_S)
    return record, account


def summary(reports: Sequence[CallReport]) -> Report:
    """All turns, and for each source their spread with the medians of its stages."""
    turns = [turn for report in reports for turn in report.turns]
    sources: dict[str, list[TurnReport]] = defaultdict(list)
    for turn in turns:
        sources["all"].append(turn)
        sources[turn.source or "unknown"].append(turn)
    return {
        "calls": len(reports),
        "turns": [turn.as_json() for turn in turns],
        "sources": {name: _of_source(each) for name, each in sources.items()},
        "greeting_ms": spread([each.setup.greeting_ms for each in reports if each.setup.greeting_ms is not None]),
        "problems": [problem for report in reports for problem in report.problems],
    }


def _of_source(turns: Sequence[TurnReport]) -> Report:
    answered = [turn for turn in turns if turn.voice_to_voice_ms is not None]
    # What the wire shows and core does not: how long core takes to notice silence, and the queue to the wire.
    unseen = [(turn.voice_to_voice_ms or 0.0) - turn.stages_ms["total"] for turn in answered if turn.stages_ms]
    stages = {
        stage: statistics.median(turn.stages_ms[stage] for turn in answered if turn.stages_ms)
        for stage in STAGES
        if unseen
    }
    return {
        "turns": len(turns),
        "answered": len(answered),
        "voice_to_voice_ms": spread([turn.voice_to_voice_ms or 0.0 for turn in answered]),
        "stages_ms": {name: round(value, 1) for name, value in stages.items()}
        | ({"wire": round(statistics.median(unseen), 1)} if unseen else {}),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.voice_to_voice", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four turns")
    parser.add_argument("--out", type=Path, default=FOLDER / "voice.json")
    options = parser.parse_args(argv)
    calls = list(scripts(QUESTIONS[:4] if options.quick else QUESTIONS))
    report = asyncio.run(measure(calls, whisper_transcriber))
    write(report, options.out)
    tell(voice_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
