"""Starts core, asr, llm and tts on this machine as configured, shows their logs, and stops them on Ctrl-C.

SIGHUP is passed on to core, which reads its configuration again; that of a terminal that is closed stops all.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from core.settings import config_file
from services.common.settings import ConfigurationError
from tools.oavc import layouts
from tools.oavc.child import Child, StartFailed
from tools.oavc.console import complain, styled, tell
from tools.oavc.probes import core_ready
from tools.oavc.stack import Layout, Stack

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
_LOG_POLL_S = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="configuration file (default: as `oavc check` finds it)")
    parser.add_argument("--quiet", action="store_true", help="leave the logs in build/logs, and do not show them")


def run(options: argparse.Namespace) -> int:
    """0 after a Ctrl-C or SIGTERM, 1 where a process failed."""
    # The processes inherit it: core, while it is starting, must not end by a request to read its file.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        watched = not options.quiet and sys.stdout.isatty()
        layout = layouts.configured(config_file(os.environ, options.config), os.environ, watched=watched)
        return asyncio.run(_run(layout, shown=not options.quiet))
    except ConfigurationError as error:
        complain(f"oavc up: {error}")
        return EXIT_CONFIGURATION
    except (StartFailed, OSError) as error:
        complain(f"oavc up: {error}")
        return EXIT_FAILED


async def _run(layout: Layout, *, shown: bool) -> int:
    async with Stack(layout, for_calls=False) as stack, _logs_shown(stack.children if shown else []):
        elsewhere = layout.services.keys() - {child.name for child in stack.children}
        for name in sorted(elsewhere):
            host, port = layout.services[name]
            tell(f"{name} is expected at {host}:{port}")
        stopping = asyncio.create_task(_stop_requested(stack.reload))
        try:
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(_until_ready(stack, layout))
                group.create_task(_first_of(stopping, starting))
            if stopping.done():
                return 0
            ending = asyncio.create_task(stack.any_ends())
            await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                ending.cancel()
                return 0
            child, code = ending.result()
            complain(f"oavc up: {child.name} ended with code {code}; see {child.log_path}")
            return EXIT_FAILED
        finally:
            stopping.cancel()
            tell("stopping")


async def _until_ready(stack: Stack, layout: Layout) -> None:
    await stack.ready()
    tell("ready: " + ", ".join(f"{name} after {took:.1f} s" for name, took in stack.startup_s.items()))
    reason = await core_ready(layout.management_url, for_calls=True)()
    tell(f"core takes calls; {layout.management_url}" if not reason else f"core takes no calls yet: {reason}")


async def _first_of(stopping: asyncio.Task[None], starting: asyncio.Task[None]) -> None:
    """A request to stop ends the start as well."""
    await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        starting.cancel()


async def _stop_requested(reload: Callable[[], None]) -> None:
    """Returns once all are to stop; meanwhile calls `reload` where that is asked for."""
    requested = asyncio.Event()
    on_a_terminal = sys.stdin.isatty()

    def hung_up() -> None:
        # A terminal that was closed is none any more.
        if on_a_terminal and not sys.stdin.isatty():
            requested.set()
        else:
            reload()

    loop = asyncio.get_running_loop()
    actions = {signal.SIGINT: requested.set, signal.SIGTERM: requested.set, signal.SIGHUP: hung_up}
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        await requested.wait()
    finally:
        for number in actions:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _logs_shown(children: list[Child]) -> AsyncIterator[None]:
    """Meanwhile shows what the processes log, each line after its process' name."""
    tasks = [asyncio.create_task(_show_log(child.name, child.log_path)) for child in children]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _show_log(name: str, path: Path) -> None:
    rest = ""
    with path.open(encoding="utf-8", errors="replace") as log:
        while True:
            *lines, rest = (rest + log.read()).split("\n")
            for line in lines:
                tell(f"{styled(f'{name:<4}', 'cyan')} | {line}")
            await asyncio.sleep(_LOG_POLL_S)
