"""Places scripted calls to a core that is running: takes the place of OpenSIPS, waits for core to subscribe, calls."""

import argparse
import asyncio
import os
from pathlib import Path

from core.management.settings import ManagementSettings
from core.settings import config_file, load_settings
from core.transports.opensips.settings import OpenSipsSettings
from services.common.settings import ConfigurationError
from tools.caller.agent_account import AccountError, AgentAccount, Management
from tools.caller.batch import play_calls, render_speeches
from tools.caller.caller import CallRecord
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.recorder import Recording
from tools.caller.report import CallReport, report_call, write_report
from tools.caller.script import CallScript, ScriptError, load_script
from tools.caller.sip_line import SipLine
from tools.caller.speech import SpeechError
from tools.caller.transcriber import whisper_transcriber
from tools.caller.wire import Wire
from tools.oavc.console import complain, styled, tell
from tools.oavc.live import LiveConversation
from tools.oavc.summary import describe_call, describe_calls

SCRIPT = Path("config/demo/call.toml")
FOLDER = Path("build/calls")
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
# Core asks a silent OpenSIPS again every few seconds.
_SUBSCRIBED_TIMEOUT_S = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--script", type=Path, default=SCRIPT, help="what the caller does (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=1, metavar="N", help="how many calls (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=1.0, metavar="R", help="calls begun a second (default: %(default)s)"
    )
    parser.add_argument("--config", help="core's configuration file, which says where it looks for OpenSIPS")
    parser.add_argument("--mi-port", type=int, help="UDP port on which core looks for OpenSIPS")
    parser.add_argument("--management", metavar="URL", help="core's management interface")
    parser.add_argument(
        "--unjudged", action="store_true", help="do not transcribe: judge the course and the timing only"
    )
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of recordings and report.json")


def run(options: argparse.Namespace) -> int:
    """0 where every call went well."""
    if options.calls < 1 or options.rate <= 0:
        complain("oavc call: --calls must be at least 1 and --rate above 0")
        return EXIT_CONFIGURATION
    try:
        script = load_script(options.script)
        loaded = load_settings(config_file(os.environ, options.config))
        management = loaded[ManagementSettings]
        token = management.token.get_secret_value() if management.token else None
        url = options.management or f"http://127.0.0.1:{management.port}"
        mi_port = loaded[OpenSipsSettings].mi_port if options.mi_port is None else options.mi_port
        speeches = render_speeches(script)
        reports = asyncio.run(_run(options, script, speeches, mi_port, Management(url, token)))
    except (ScriptError, ConfigurationError) as error:
        complain(f"oavc call: {error}")
        return EXIT_CONFIGURATION
    except (SpeechError, OSError) as error:
        complain(f"oavc call: {error}")
        return EXIT_FAILED
    path = options.output / "report.json"
    write_report(path, reports)
    tell("\n".join(describe_call(reports[0]) if len(reports) == 1 else describe_calls(reports)))
    tell(f"  {path}")
    return 0 if all(report.ok for report in reports) else EXIT_FAILED


async def _run(
    options: argparse.Namespace, script: CallScript, speeches: list[bytes], mi_port: int, management: Management
) -> list[CallReport]:
    opensips = OpenSipsStandIn(mi_port=mi_port)
    try:
        await opensips.start()
    except OSError as error:
        raise OSError(
            f"127.0.0.1:{mi_port}/udp is taken: does an OpenSIPS run there? `oavc call` takes its place ({error})"
        ) from error
    try:
        tell(styled(f"waiting for core to find OpenSIPS on 127.0.0.1:{mi_port}/udp", "dim"))
        try:
            await opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
        except TimeoutError as error:
            raise OSError(f"no core asked for calls within {_SUBSCRIBED_TIMEOUT_S:g} s: is it running?") from error
        records, accounts = await _call(options, opensips, script, speeches, management)
        # Off the loop: OpenSIPS goes on answering.
        return await asyncio.to_thread(_report, options, records, accounts)
    finally:
        await opensips.stop()


async def _call(
    options: argparse.Namespace,
    opensips: OpenSipsStandIn,
    script: CallScript,
    speeches: list[bytes],
    management: Management,
) -> tuple[list[CallRecord], list[AgentAccount | None]]:
    live = LiveConversation(management, script.caller) if options.calls == 1 else None
    following = asyncio.create_task(live.follow()) if live else None
    try:
        with Wire() as wire:
            records = await play_calls(
                SipLine(opensips, wire), script, speeches, count=options.calls, rate=options.rate, observer=live
            )
    finally:
        if following:
            following.cancel()
    if live:
        return records, [await live.finish()]
    return records, [await _account(management, record) for record in records]


async def _account(management: Management, record: CallRecord) -> AgentAccount | None:
    try:
        return await management.find(record.caller, (record.trace.invited_ns or 0) / 1e9 - 1)
    except AccountError:
        return None


def _report(
    options: argparse.Namespace, records: list[CallRecord], accounts: list[AgentAccount | None]
) -> list[CallReport]:
    transcribe = None if options.unjudged else whisper_transcriber()
    reports = []
    for number, (record, account) in enumerate(zip(records, accounts, strict=True), 1):
        reports.append(report_call(record, account, transcribe))
        Recording(record.trace).write(options.output / f"call-{number}.wav")
    return reports
