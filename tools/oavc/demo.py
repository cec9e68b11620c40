"""Starts everything on this machine, places a call, judges what was heard, and reports it."""

import argparse
import asyncio
import functools
import os
from collections.abc import Sequence
from pathlib import Path

from core.settings import config_file
from services.common.settings import ConfigurationError
from tools.caller.agent_account import AgentAccount, Management
from tools.caller.batch import render_speeches
from tools.caller.caller import CallRecord, play_call
from tools.caller.line import Line
from tools.caller.recorder import Recording
from tools.caller.report import CallReport, report_call, write_report
from tools.caller.script import CallScript, ScriptError, load_script
from tools.caller.speech import SpeechError
from tools.caller.transcriber import Transcriber, whisper_transcriber
from tools.oavc import layouts
from tools.oavc.child import StartFailed
from tools.oavc.console import complain, styled, tell
from tools.oavc.exchange import TRANSPORTS, Exchange
from tools.oavc.live import LiveConversation
from tools.oavc.stack import Stack
from tools.oavc.summary import describe_call, describe_medians

SCRIPT = Path("config/demo/call.toml")
FOLDER = Path("build/demo")
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=_count, default=1, metavar="N", help="place the call so many times")
    parser.add_argument(
        "--transport",
        choices=TRANSPORTS,
        default="opensips",
        help="how it comes in; both: a call each, at the same time",
    )
    parser.add_argument("--script", type=Path, default=SCRIPT, help="what the caller does (default: %(default)s)")
    parser.add_argument("-c", "--config", help="settings of the processes (default: as `oavc check` finds them)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of call.wav and report.json")


def run(options: argparse.Namespace) -> int:
    """0 where every question of every call was answered rightly."""
    try:
        script = load_script(options.script)
        tell(styled("preparing the caller's voice", "dim"))
        speeches = render_speeches(script)
        config = config_file(os.environ, options.config)
        reports = asyncio.run(_run(script, speeches, config, options))
    except (ScriptError, ConfigurationError) as error:
        complain(f"oavc demo: {error}")
        return EXIT_CONFIGURATION
    except (SpeechError, StartFailed, OSError) as error:
        complain(f"oavc demo: {error}")
        return EXIT_FAILED
    path = options.output / "report.json"
    write_report(path, reports)
    if len(reports) > 1:
        tell("\n".join(describe_medians(reports)))
    others = TRANSPORTS[options.transport][1:]
    recordings = [recording_path(options.output, 0, transport) for transport in ("", *others)]
    tell(f"  {', '.join(map(str, recordings))} (left: caller, right: agent), {path}")
    failed = [str(number) for number, report in enumerate(reports, 1) if not report.ok]
    if failed:
        complain(f"oavc demo: not right in call {', '.join(failed)} of {len(reports)}: {first_problem(reports)}")
    return EXIT_FAILED if failed else 0


def first_problem(reports: list[CallReport]) -> str:
    return next(problem for report in reports for problem in report.problems)


async def _run(
    script: CallScript, speeches: list[bytes], config: Path | None, options: argparse.Namespace
) -> list[CallReport]:
    async with Exchange(TRANSPORTS[options.transport]) as exchange:
        layout = layouts.private(config, exchange.mi_port, exchange.account)
        tell(styled("starting core, asr, llm and tts (logs: build/logs)", "dim"))
        async with Stack(layout, for_calls=True) as stack:
            await stack.ready()
            lines = await exchange.lines(layout.management_url)
            tell("  ready   " + "   ".join(f"{name} {took:.1f} s" for name, took in stack.startup_s.items()))
            management = Management(layout.management_url)
            reports = []
            for number in range(options.repeat):
                reports += await _calls(lines, management, stack, script, speeches, options.output, number)
            return reports


async def _calls(
    lines: Sequence[Line],
    management: Management,
    stack: Stack,
    script: CallScript,
    speeches: list[bytes],
    folder: Path,
    number: int,
) -> list[CallReport]:
    """One call on each line, all at the same time."""
    tell(f"\n  {script.caller} calls {script.called} by {' and '.join(line.transport for line in lines)}")
    labelled = len(lines) > 1
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_call(line, management, script, speeches, labelled)) for line in lines]
    rss_mb = stack.rss_mb()
    tell(styled("  transcribing what was heard\n", "dim"))
    reports = []
    for record, account in [task.result() for task in tasks]:
        # Off the loop: OpenSIPS and Twilio go on answering.
        report = await asyncio.to_thread(report_call, record, account, _transcriber())
        report.rss_mb, report.startup_s = rss_mb, stack.startup_s
        if account is None:
            report.problems.append("core's management interface has no account of the call")
        # The second of two calls at once says in its name which one it is.
        other = record.transport if record.transport != lines[0].transport else ""
        await asyncio.to_thread(Recording(record.trace).write, recording_path(folder, number, other))
        tell("\n".join(describe_call(report)))
        reports.append(report)
    return reports


async def _call(
    line: Line, management: Management, script: CallScript, speeches: list[bytes], labelled: bool
) -> tuple[CallRecord, AgentAccount | None]:
    live = LiveConversation(management, script.caller, line.transport, labelled=labelled)
    following = asyncio.create_task(live.follow())
    try:
        record = await play_call(line, script, speeches, observer=live)
    finally:
        following.cancel()
    return record, await live.finish()


@functools.cache
def _transcriber() -> Transcriber:
    """Loaded after the first call, so that it takes nothing from it."""
    return whisper_transcriber()


def recording_path(folder: Path, number: int, transport: str = "") -> Path:
    """`call.wav` first; `transport` where another call at the same time has that name."""
    parts = ["call", *([transport] if transport else []), *([str(number + 1)] if number else [])]
    return folder / f"{'-'.join(parts)}.wav"


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count
