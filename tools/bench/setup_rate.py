"""From the INVITE's event to core's reply, at a slow and at a fast rate of calls: `python -m tools.bench.setup_rate`.

Core is a process of its own with scripted providers, OpenSIPS a stand-in in this one. The clock starts before the event
is written to the socket and stops when the reply has been taken from it; packets are stamped by the kernel.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.media.datagram_socket import DatagramSocket, ReceiveBuffers
from tools.bench.figures import FOLDER, Report, conditions, spread, write
from tools.bench.tables import setup_table
from tools.caller.offer import make_offer
from tools.caller.opensips import OpenSipsStandIn
from tools.oavc import layouts
from tools.oavc.child import Child
from tools.oavc.console import tell
from tools.oavc.probes import core_ready
from tools.oavc.stack import LOG_FOLDER, Layout

RATES = ((1.0, 15), (50.0, 500))
# At the fast rate about ten calls are up then, as many as core takes unless it is told otherwise.
HOLD_S = 0.2
_HOST = "127.0.0.1"
# Below the kernel's ephemeral ports, which the phones take; a port rests five seconds after its call.
_RTP_PORTS = (20_000, 21_999)
_CONCURRENT_CALLS = 500
_MEMORY_LIMIT_MB = 4096
_READY_TIMEOUT_S = 30.0
_REPLY_TIMEOUT_S = 5.0
_SETTLE_S = 1.0
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """One call. `first_packet_ms`: from the reply to the agent's first packet."""

    status: int | None
    reply_ms: float | None = None
    first_packet_ms: float | None = None


async def measure(rates: Sequence[tuple[float, int]], hold_s: float = HOLD_S) -> Report:
    """Each rate, in calls a second, for so many calls.

    Raises:
        StartFailed: core did not get ready.
    """
    report = conditions()
    opensips = OpenSipsStandIn()
    await opensips.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            layout = layouts.private(_configuration(Path(folder)), opensips.mi_port)
            core = Child(
                "core", "core", LOG_FOLDER / "bench-core.log", core_ready(layout.management_url, for_calls=True)
            )
            await core.start(_environment(layout))
            try:
                await core.wait_ready(_READY_TIMEOUT_S)
                buffers = ReceiveBuffers()
                # What happens only once in core's life is told apart.
                first = await _place(opensips, buffers, "first", hold_s)
                report["first_call_ms"] = first.reply_ms
                report["runs"] = []
                for rate, count in rates:
                    await asyncio.sleep(_SETTLE_S)
                    report["runs"].append(await _run(opensips, buffers, core, rate, count, hold_s))
            finally:
                await core.stop(_STOP_TIMEOUT_S)
    finally:
        await opensips.stop()
    return report


async def _run(
    opensips: OpenSipsStandIn, buffers: ReceiveBuffers, core: Child, rate: float, count: int, hold_s: float
) -> Report:
    process = psutil.Process(core.pid)
    cpu_before_s = _cpu_s(process)
    start_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(count):
            await asyncio.sleep(start_s + number / rate - time.monotonic())
            tasks.append(group.create_task(_place(opensips, buffers, f"rate-{number}", hold_s)))
    placed = [task.result() for task in tasks]
    return {
        "rate_per_s": rate,
        "calls": count,
        "hold_s": hold_s,
        "refused": sum(call.status is not None and call.status != 200 for call in placed),
        "unanswered": sum(call.status is None for call in placed),
        "silent": sum(call.status == 200 and call.first_packet_ms is None for call in placed),
        "reply_ms": spread([call.reply_ms for call in placed if call.reply_ms is not None]),
        "first_packet_ms": spread([call.first_packet_ms for call in placed if call.first_packet_ms is not None]),
        "core_cpu_ms_per_call": round(1000 * (_cpu_s(process) - cpu_before_s) / count, 2),
    }


async def _place(opensips: OpenSipsStandIn, buffers: ReceiveBuffers, caller: str, hold_s: float) -> PlacedCall:
    rtp = DatagramSocket(_HOST, 0, buffers)
    try:
        offer = make_offer(_HOST, rtp.port, "PCMU", version=1)
        invited_s = time.monotonic()
        call = opensips.invite(offer, caller=caller)
        try:
            reply = await call.final(_REPLY_TIMEOUT_S)
        except TimeoutError:
            await call.cancel()
            return PlacedCall(None)
        replied_s = time.monotonic()
        if reply.status != 200:
            return PlacedCall(reply.status)
        call.ack()
        # Not read meanwhile: the kernel keeps the packets and their times, and this process its peace.
        await asyncio.sleep(hold_s)
        first = next(iter(rtp.receive()), None)
        await call.bye()
        reply_ms = 1000 * (replied_s - invited_s)
        # The first packet may leave before the reply has been read.
        return PlacedCall(200, reply_ms, 1000 * (first.arrived_at_s - replied_s) if first else None)
    finally:
        rtp.close()


def _configuration(folder: Path) -> Path:
    path = folder / "core.ini"
    path.write_text(
        "[dialogue]\nknowledge = config/knowledge.md\n"
        f"[performance]\nmax_concurrent_sessions = {_CONCURRENT_CALLS}\nmemory_limit_mb = {_MEMORY_LIMIT_MB}\n"
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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.setup_rate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few calls at each rate")
    parser.add_argument(
        "--hold", type=float, default=HOLD_S, metavar="S", help="length of a call (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "setup.json")
    options = parser.parse_args(argv)
    rates = ((1.0, 3), (50.0, 50)) if options.quick else RATES
    report = asyncio.run(measure(rates, options.hold))
    write(report, options.out)
    tell(setup_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
