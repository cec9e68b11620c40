"""Calls over OpenSIPS and over Twilio at once, through one core: `python -m tools.bench.both`.

Core is a process of its own with scripted providers; OpenSIPS and Twilio are stand-ins in this one, each with a thread
that plays its phones. Every call is greeted and asks three questions, all while all the others are up.
"""

import argparse
import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import psutil

from tools.bench import stream_setup
from tools.bench.figures import FOLDER, Report, conditions, spread, write
from tools.bench.tables import both_table
from tools.caller import timing
from tools.caller.batch import play_calls, render_speeches
from tools.caller.caller import CallRecord
from tools.caller.line import Line
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.script import CallScript, HangUp, Listen, Say
from tools.caller.sip_line import SipLine
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_line import TwilioLine
from tools.caller.wire import Wire
from tools.oavc import layouts
from tools.oavc.child import Child
from tools.oavc.console import tell
from tools.oavc.probes import core_ready
from tools.oavc.stack import LOG_FOLDER, Layout

CALLS_EACH = 10
CALLS_A_SECOND_EACH = 5.0
SETUPS = 50
# What the scripted recogniser hears: two questions of the knowledge's, one of the model's.
QUESTIONS = ("When are you open?", "Where can I park?", "What is the meaning of life?")
# Below the kernel's ephemeral ports, which the phones take.
_RTP_PORTS = (22_000, 22_999)
_READY_TIMEOUT_S = 30.0
_SUBSCRIBED_TIMEOUT_S = 30.0
_SETTLE_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.1


async def measure(calls_each: int, setups: int, questions: Sequence[str] = QUESTIONS) -> Report:
    """One call of each for a start, then so many of each at once, then so many set-ups one after the other.

    Raises:
        StartFailed: core did not get ready.
        SpeechError: the caller's words cannot be rendered.
    """
    report = conditions()
    speeches = render_speeches(_script(questions))
    opensips = OpenSipsStandIn()
    await opensips.start()
    try:
        async with TwilioStandIn() as twilio:
            with tempfile.TemporaryDirectory() as folder:
                account = layouts.TwilioAccount(twilio.account_sid, twilio.auth_token, twilio.rest.url)
                layout = layouts.private(_configuration(Path(folder)), opensips.mi_port, account)
                ready = core_ready(layout.management_url, for_calls=True)
                core = Child("core", "core", LOG_FOLDER / "bench-both.log", ready)
                await core.start(_environment(layout))
                try:
                    await core.wait_ready(_READY_TIMEOUT_S)
                    await opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
                    agent = AgentAddress(layout.management_url)
                    with Wire() as wire, StreamWire() as streams:
                        lines = (SipLine(opensips, wire), TwilioLine(twilio, streams, agent))
                        report |= await _load(lines, core, layout, speeches, calls_each, questions)
                    report["setup"] = await stream_setup.measure(twilio, agent, setups)
                finally:
                    await core.stop(_STOP_TIMEOUT_S)
    finally:
        await opensips.stop()
    return report


async def _load(
    lines: Sequence[Line],
    core: Child,
    layout: Layout,
    speeches: Sequence[bytes],
    calls_each: int,
    questions: Sequence[str],
) -> Report:
    await _play(lines, speeches, 1, questions)
    await _settled(layout.management_url)
    process = psutil.Process(core.pid)
    before_mb = core.rss_mb()
    peak = _Peak(core)
    watching = asyncio.create_task(peak.watch())
    try:
        began_s, cpu_before_s = time.monotonic(), _cpu_s(process)
        records = await _play(lines, speeches, calls_each, questions)
        cpu = (_cpu_s(process) - cpu_before_s) / (time.monotonic() - began_s)
    finally:
        watching.cancel()
    await _settled(layout.management_url)
    return {
        "transports": {
            line.transport: _figures([each for each in records if each.transport == line.transport]) for line in lines
        },
        "core": {
            "cpu_percent": round(100 * cpu, 1),
            "rss_before_mb": round(before_mb, 1),
            "rss_during_mb": round(peak.rss_mb, 1),
            "rss_after_mb": round(core.rss_mb(), 1),
        },
    }


class _Peak:
    """The most memory that core was seen to hold."""

    def __init__(self, core: Child) -> None:
        self._core = core
        self.rss_mb = 0.0

    async def watch(self) -> None:
        while True:
            self.rss_mb = max(self.rss_mb, self._core.rss_mb())
            await asyncio.sleep(_POLL_S)


async def _play(
    lines: Sequence[Line], speeches: Sequence[bytes], calls_each: int, questions: Sequence[str]
) -> list[CallRecord]:
    """So many calls on each line."""
    script = _script(questions)
    played = [play_calls(line, script, speeches, count=calls_each, rate=CALLS_A_SECOND_EACH) for line in lines]
    return list(itertools.chain.from_iterable(await asyncio.gather(*played)))


def _figures(records: Sequence[CallRecord]) -> Report:
    """Of one transport's calls together."""
    traces = [record.trace for record in records]
    quality = [timing.rtp_quality(trace) for trace in traces]
    leads = [timing.lead(trace) for trace in traces]
    waits_ms = [
        wait_ms
        for record in records
        for number in range(len(record.script.says))
        if (wait_ms := timing.voice_to_voice_ms(record.trace, number)) is not None
    ]
    return {
        "calls": len(records),
        "questions": sum(len(record.script.says) for record in records),
        "answered": len(waits_ms),
        "failures": [failure for record in records for failure in record.failures],
        "gap_error_ms": spread([error_ms for trace in traces for error_ms in timing.gap_errors_ms(trace)]),
        "lost": sum(each.lost for each in quality),
        "lead_min_ms": _rounded(min((each.min_ms for each in leads if each.min_ms is not None), default=None)),
        "lead_p50_ms": _rounded(
            timing.percentile([each.median_ms for each in leads if each.median_ms is not None], 50)
        ),
        "dry": sum(each.gaps for each in leads),
        "voice_to_voice_ms": spread(waits_ms),
    }


async def _settled(url: str) -> None:
    """Returns once no call is up. Raises TimeoutError: one stays."""
    async with asyncio.timeout(_SETTLE_TIMEOUT_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/api/v1/calls") as response:
                if not (await response.json())["calls"]:
                    return
            await asyncio.sleep(_POLL_S)


def _script(questions: Sequence[str]) -> CallScript:
    says = [Say(do="say", text=text) for text in questions]
    return CallScript(caller="5550300", step=(Listen(do="listen"), *says, HangUp(do="hang_up")))


def _configuration(folder: Path) -> Path:
    path = folder / "core.ini"
    path.write_text(
        "[dialogue]\nknowledge = config/knowledge.md\nidle_timeout_s = 0\n"
        "[performance]\nmax_concurrent_sessions = 500\nmemory_limit_mb = 4096\n"
        "[logging]\nlevel = WARNING\n",
        encoding="utf-8",
    )
    return path


def _environment(layout: Layout) -> dict[str, str]:
    """Core's, with providers that need no services."""
    scripted = {f"{stage}_PROVIDER": "scripted" for stage in ("ASR", "LLM", "TTS")}
    ports = {"OPENSIPS_RTP_MIN_PORT": str(_RTP_PORTS[0]), "OPENSIPS_RTP_MAX_PORT": str(_RTP_PORTS[1])}
    return {**os.environ, **layout.environ, **scripted, **ports}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.both", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS_EACH, help="of each transport (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two calls of each, one question, five set-ups")
    parser.add_argument("--out", type=Path, default=FOLDER / "both.json")
    options = parser.parse_args(argv)
    calls, setups, questions = (2, 5, QUESTIONS[:1]) if options.quick else (options.calls, SETUPS, QUESTIONS)
    report = asyncio.run(measure(calls, setups, questions))
    write(report, options.out)
    tell(both_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
