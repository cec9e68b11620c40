"""The media plane while the four real processes hold a conversation, and that call's own packets.

`python -m tools.bench.beside`. The plane under load is the one of tools.bench.media, in a process of its own beside
core's; the conversation's packets are timed as they reach the phone. On two cores this is what an installation has.
"""

import argparse
import asyncio
import multiprocessing
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tools.bench.figures import FOLDER, Report, conditions, write
from tools.bench.media import measure as measure_plane
from tools.bench.tables import beside_table
from tools.bench.voice_to_voice import QUESTIONS, converse, make_layout, scripts
from tools.caller.batch import render_speeches
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.report import report_call
from tools.caller.script import CallScript
from tools.caller.wire import Wire
from tools.oavc.console import tell
from tools.oavc.stack import LOG_FOLDER, Layout, Stack

CALLS = (50, 100, 250)
SECONDS = 15.0
# Answers of the knowledge and of the model, as a caller hears them; longer than the plane is measured.
_CONVERSATION = QUESTIONS[:6]
_SUBSCRIBED_TIMEOUT_S = 30.0


async def measure(
    calls: Sequence[int],
    seconds: float,
    questions: Sequence[tuple[str, str]] = _CONVERSATION,
    *,
    scripted: bool = False,
) -> Report:
    """The plane at each number of calls, a conversation of its own beside each; 0 calls is the conversation alone.

    Raises:
        StartFailed: a process did not get ready.
        SpeechError: the caller's words cannot be rendered.
    """
    report = conditions()
    script = next(scripts(questions))
    speeches = render_speeches(script)
    opensips = OpenSipsStandIn()
    await opensips.start()
    # Not a thread: the generator would share this interpreter with the phone.
    generator = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    try:
        layout = make_layout(opensips.mi_port, scripted=scripted)
        async with Stack(layout, for_calls=True, log_folder=LOG_FOLDER / "bench") as stack:
            await stack.ready()
            await opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
            report["runs"] = [
                await _beside(opensips, layout, script, speeches, generator, each, seconds) for each in calls
            ]
    finally:
        generator.shutdown()
        await opensips.stop()
    return report


async def _beside(
    opensips: OpenSipsStandIn,
    layout: Layout,
    script: CallScript,
    speeches: Sequence[bytes],
    generator: ProcessPoolExecutor,
    calls: int,
    seconds: float,
) -> Report:
    loop = asyncio.get_running_loop()
    with Wire() as wire:
        conversation = asyncio.ensure_future(converse(opensips, wire, layout, script, speeches))
        try:
            plane = await loop.run_in_executor(generator, _plane, calls, seconds) if calls else {"calls": 0}
            record, account = await conversation
        finally:
            conversation.cancel()
    report = report_call(record, account, None)
    answered_ms = [turn.voice_to_voice_ms for turn in report.turns if turn.voice_to_voice_ms is not None]
    quality = report.quality
    return {
        "plane": plane,
        "conversation": {
            "gap_error_p50_ms": _rounded(quality.gap_error_p50_ms),
            "gap_error_p99_ms": _rounded(quality.gap_error_p99_ms),
            "gap_error_max_ms": _rounded(quality.gap_error_max_ms),
            "packets": quality.received,
            "lost": quality.lost,
            "turns": len(report.turns),
            "answered": len(answered_ms),
            "voice_to_voice_p50_ms": round(statistics.median(answered_ms), 1) if answered_ms else None,
            "problems": report.problems,
        },
    }


def _plane(calls: int, seconds: float) -> Report:
    return measure_plane(calls, seconds, busy=0.0, uvloop=True, realtime="auto")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.beside", description=__doc__)
    parser.add_argument("--calls", default="0," + ",".join(map(str, CALLS)), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the plane under load (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="50 and 250 calls, 4 s each")
    parser.add_argument("--out", type=Path, default=FOLDER / "beside.json")
    options = parser.parse_args(argv)
    calls = (50, 250) if options.quick else tuple(map(int, options.calls.split(",")))
    questions = _CONVERSATION[:2] if options.quick else _CONVERSATION
    report = asyncio.run(measure(calls, 4.0 if options.quick else options.seconds, questions))
    write(report, options.out)
    tell(beside_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
