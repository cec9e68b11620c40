"""OpenSIPS, core and a wire for phones, and the proof that a test has left nothing behind in any of them."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.core_process import MI_PORT, CoreProcess, Held, Sections
from tests.integration.live_call import LiveCall
from tools.caller.agent_account import AgentTurn, Management
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.wire import Wire

_SUBSCRIBED_S = 10.0
_SETTLED_S = 8.0
# What an allocator keeps for the next call is no leak.
_GROWTH_MB = 40.0
# An executor starts its threads one by one, as it first needs them, and keeps them.
_EXECUTOR_THREADS = min(32, (os.cpu_count() or 1) + 4)


@dataclass
class Line:
    """What a test calls through."""

    opensips: OpenSipsStandIn
    core: CoreProcess
    wire: Wire
    management: Management
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def call(self, **script: object) -> LiveCall:
        """A call from a caller of its own; begun at once, up once it is entered."""
        return LiveCall(self.opensips, self.wire, self.management, f"caller-{next(self._numbers)}", script)

    async def ordinary_call(self) -> AgentTurn:
        """A whole call: greeting, question, answer, hang-up."""
        async with self.call() as call:
            await call.hears_something()
            return await call.ask()

    async def nothing_left(self, before: Held) -> None:
        """Returns once no call, session, port, task, thread or descriptor is left over.

        Raises:
            AssertionError: something stays.
        """

        async def left() -> dict[str, object]:
            sessions = [(each.key, each.state.name) for each in self.opensips.sessions.values()]
            return {**await left_in(self.core, before), **({"sessions": sessions} if sessions else {})}

        await nothing_is(left)
        assert not self.opensips.violations, self.opensips.violations


async def nothing_is(left: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
    """Returns once nothing is left.

    Raises:
        AssertionError: something stays.
    """
    deadline_s = time.monotonic() + _SETTLED_S
    while (still := await left()) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.1)
    assert not still, f"left behind: {still}"


async def left_in(core: CoreProcess, before: Held) -> dict[str, object]:
    """What core holds beyond what it held before, by what it is; empty where nothing is."""
    now = await core.held()
    left: dict[str, object] = {"calls": await core.calls(), "ports": core.rtp_ports_in_use()}
    for name, then in (
        ("fds", before.fds),
        ("threads", before.threads + _EXECUTOR_THREADS),
        ("tasks", before.tasks),
    ):
        left[name] = [then, getattr(now, name)] if getattr(now, name) > then else None
    left["rss_mb"] = [before.rss_mb, now.rss_mb] if now.rss_mb > before.rss_mb + _GROWTH_MB else None
    return {name: what for name, what in left.items() if what}


@asynccontextmanager
async def open_line(
    folder: Path, settings: Sections | None = None, *, seed: int = 1, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Line]:
    """All of it, with core subscribed."""
    core = CoreProcess(folder, settings=settings, environ=environ)
    opensips = OpenSipsStandIn(host=core.address, mi_port=MI_PORT, seed=seed, sip_timeout_s=5.0)
    await opensips.start()
    try:
        await core.start()
        await opensips.wait_subscribed(_SUBSCRIBED_S)
        with Wire() as wire:
            yield Line(opensips, core, wire, Management(core.url))
    finally:
        await core.stop()
        await opensips.stop()


async def warmed_up(line: Line) -> Held:
    """What core holds once it has had a call, and none is up."""
    await line.ordinary_call()
    await line.opensips.settled()
    return await settled_down(line.core)


async def settled_down(core: CoreProcess) -> Held:
    """What core holds while no call is up, as soon as that stays the same."""
    last = await core.held()
    for _ in range(50):
        await asyncio.sleep(0.1)
        held = await core.held()
        if not await core.calls() and (held.fds, held.threads, held.tasks) == (last.fds, last.threads, last.tasks):
            return held
        last = held
    raise AssertionError(f"core does not settle down: {last}")
