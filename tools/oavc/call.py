"""Places scripted calls to a core that is running: takes the place of OpenSIPS, or of Twilio, and calls."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from core.management.settings import ManagementSettings
from core.settings import config_file, load_settings
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.twilio.settings import TwilioSettings
from services.common.settings import ConfigurationError, Loaded
from tools.caller.agent_account import AccountError, AgentAccount, Management
from tools.caller.batch import play_calls, render_speeches
from tools.caller.caller import CallRecord
from tools.caller.line import Line
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.recorder import Recording
from tools.caller.report import CallReport, report_call, write_report
from tools.caller.script import CallScript, ScriptError, load_script
from tools.caller.sip_line import SipLine
from tools.caller.speech import SpeechError
from tools.caller.stream_wire import StreamWire
from tools.caller.transcriber import whisper_transcriber
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_line import TwilioLine
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
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--transport",
        choices=("opensips", "twilio"),
        default="opensips",
        help="how calls come in (default: %(default)s)",
    )
    parser.add_argument("--script", type=Path, default=SCRIPT, help="what the caller does (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=1, metavar="N", help="how many calls (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=1.0, metavar="R", help="calls begun a second (default: %(default)s)"
    )
    parser.add_argument("-c", "--config", help="core's configuration file, which says where it looks for OpenSIPS")
    parser.add_argument("--mi-port", type=int, help="UDP port on which core looks for OpenSIPS")
    parser.add_argument("--management", metavar="URL", help="core's HTTP server")
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
        speeches = render_speeches(script)
        reports = asyncio.run(_run(options, script, speeches, loaded, Management(url, token)))
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
    options: argparse.Namespace, script: CallScript, speeches: list[bytes], settings: Loaded, management: Management
) -> list[CallReport]:
    opening = _twilio(settings, management) if options.transport == "twilio" else _opensips(settings, options.mi_port)
    async with opening as line:
        records, accounts = await _call(options, line, script, speeches, management)
        # Off the loop: whoever stands between goes on answering.
        return await asyncio.to_thread(_report, options, records, accounts)


@asynccontextmanager
async def _opensips(settings: Loaded, given_port: int | None) -> AsyncIterator[Line]:
    """In the place of the OpenSIPS that core looks for."""
    mi_port = settings[OpenSipsSettings].mi_port if given_port is None else given_port
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
        with Wire() as wire:
            yield SipLine(opensips, wire)
    finally:
        await opensips.stop()


@asynccontextmanager
async def _twilio(settings: Loaded, management: Management) -> AsyncIterator[Line]:
    """As the Twilio whose account core is configured for; of its REST API too, where core looks for that on here."""
    own = settings[TwilioSettings]
    if own.auth_token is None:
        raise ConfigurationError(["twilio.auth_token (TWILIO_AUTH_TOKEN): calls cannot be signed without it"])
    api = urlsplit(own.api_base_url)
    rest_port = api.port or 0 if api.hostname in _HERE else 0
    async with TwilioStandIn(own.account_sid, own.auth_token.get_secret_value(), rest_port) as twilio:
        with StreamWire() as wire:
            yield TwilioLine(twilio, wire, AgentAddress(management.url, own.public_url, own.path))


async def _call(
    options: argparse.Namespace,
    line: Line,
    script: CallScript,
    speeches: list[bytes],
    management: Management,
) -> tuple[list[CallRecord], list[AgentAccount | None]]:
    live = LiveConversation(management, script.caller, line.transport) if options.calls == 1 else None
    following = asyncio.create_task(live.follow()) if live else None
    try:
        records = await play_calls(line, script, speeches, count=options.calls, rate=options.rate, observer=live)
    finally:
        if following:
            following.cancel()
    if live:
        return records, [await live.finish()]
    return records, [await _account(management, record) for record in records]


async def _account(management: Management, record: CallRecord) -> AgentAccount | None:
    try:
        return await management.find(record.caller, (record.trace.invited_ns or 0) / 1e9 - 1, record.transport)
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
