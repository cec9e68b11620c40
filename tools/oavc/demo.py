"""Starts everything on this machine, places a call, judges what was heard, and reports it."""

import argparse
import asyncio
import functools
import os
from pathlib import Path

from core.settings import config_file
from services.common.settings import ConfigurationError
from tools.caller.agent_account import Management
from tools.caller.batch import render_speeches
from tools.caller.caller import play_call
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.recorder import Recording
from tools.caller.report import CallReport, report_call, write_report
from tools.caller.script import CallScript, ScriptError, load_script
from tools.caller.sip_line import SipLine
from tools.caller.speech import SpeechError
from tools.caller.transcriber import Transcriber, whisper_transcriber
from tools.caller.wire import Wire
from tools.oavc import layouts
from tools.oavc.child import StartFailed
from tools.oavc.console import complain, styled, tell
from tools.oavc.live import LiveConversation
from tools.oavc.stack import Stack
from tools.oavc.summary import describe_call, describe_medians

SCRIPT = Path("config/demo/call.toml")
FOLDER = Path("build/demo")
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
_SUBSCRIBED_TIMEOUT_S = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=_count, default=1, metavar="N", help="place the call so many times")
    parser.add_argument("--script", type=Path, default=SCRIPT, help="what the caller does (default: %(default)s)")
    parser.add_argument("--config", help="settings of the processes (default: as `oavc check` finds them)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of call.wav and report.json")


def run(options: argparse.Namespace) -> int:
    """0 where every question of every call was answered rightly."""
    try:
        script = load_script(options.script)
        tell(styled("preparing the caller's voice", "dim"))
        speeches = render_speeches(script)
        config = config_file(os.environ, options.config)
        reports = asyncio.run(_run(script, speeches, config, options.repeat, options.output))
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
    tell(f"  {options.output / 'call.wav'} (left: caller, right: agent), {path}")
    failed = [str(number) for number, report in enumerate(reports, 1) if not report.ok]
    if failed:
        complain(f"oavc demo: not right in call {', '.join(failed)} of {len(reports)}: {first_problem(reports)}")
    return EXIT_FAILED if failed else 0


def first_problem(reports: list[CallReport]) -> str:
    return next(problem for report in reports for problem in report.problems)


async def _run(
    script: CallScript, speeches: list[bytes], config: Path | None, repeat: int, folder: Path
) -> list[CallReport]:
    opensips = OpenSipsStandIn()
    await opensips.start()
    try:
        layout = layouts.private(config, opensips.mi_port)
        tell(styled("starting core, asr, llm and tts (logs: build/logs)", "dim"))
        async with Stack(layout, for_calls=True) as stack:
            await stack.ready()
            await opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
            tell("  ready   " + "   ".join(f"{name} {took:.1f} s" for name, took in stack.startup_s.items()))
            management = Management(layout.management_url)
            with Wire() as wire:
                return [
                    await _call(opensips, wire, management, stack, script, speeches, _recording(folder, number))
                    for number in range(repeat)
                ]
    finally:
        await opensips.stop()


async def _call(
    opensips: OpenSipsStandIn,
    wire: Wire,
    management: Management,
    stack: Stack,
    script: CallScript,
    speeches: list[bytes],
    recording: Path,
) -> CallReport:
    tell(f"\n  {script.caller} calls {script.called}")
    live = LiveConversation(management, script.caller)
    following = asyncio.create_task(live.follow())
    try:
        record = await play_call(SipLine(opensips, wire), script, speeches, observer=live)
    finally:
        following.cancel()
    account = await live.finish()
    rss_mb = stack.rss_mb()
    tell(styled("  transcribing what was heard\n", "dim"))
    # Off the loop: OpenSIPS goes on answering.
    report = await asyncio.to_thread(lambda: report_call(record, account, _transcriber()))
    report.rss_mb, report.startup_s = rss_mb, stack.startup_s
    if account is None:
        report.problems.append("core's management interface has no account of the call")
    await asyncio.to_thread(Recording(record.trace).write, recording)
    tell("\n".join(describe_call(report)))
    return report


@functools.cache
def _transcriber() -> Transcriber:
    """Loaded after the first call, so that it takes nothing from it."""
    return whisper_transcriber()


def _recording(folder: Path, number: int) -> Path:
    return folder / ("call.wav" if number == 0 else f"call-{number + 1}.wav")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count
