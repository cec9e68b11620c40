"""The four processes with real engines, on ports of their own, each of which a test may kill."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.live_call import LiveCall
from tools.caller.agent_account import Management
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.wire import Wire
from tools.oavc import layouts
from tools.oavc.child import Child
from tools.oavc.stack import Layout, Stack

_CONFIG = """
[opensips]
watch_interval_s = 0.25

[llm]
temperature = 0

[session]
welcome_message = Hello, Riverside Bikes.
system_prompt = You are the receptionist of a bicycle shop. Answer the caller's question in one short sentence.

[dialogue]
knowledge = config/knowledge.md
idle_timeout_s = 0
"""
# People pause between two sentences, and so does the voice.
_QUIET_S = 0.9
_SUBSCRIBED_S = 20.0
_BACK_S = 20.0


@dataclass
class RealLine:
    """What a test calls through."""

    opensips: OpenSipsStandIn
    stack: Stack
    layout: Layout
    wire: Wire
    management: Management
    calls: int = 0

    def call(self, **script: object) -> LiveCall:
        self.calls += 1
        return LiveCall(self.opensips, self.wire, self.management, f"caller-{self.calls}", script, _QUIET_S)

    def child(self, name: str) -> Child:
        return next(child for child in self.stack.children if child.name == name)

    async def kill(self, name: str) -> None:
        """As the system kills a process that has run out of memory; returns once it is gone."""
        child = self.child(name)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        await child.stop(1.0)

    async def start_again(self, name: str) -> None:
        """On the same port; returns once core, which runs on, uses it."""
        child = self.child(name)
        await child.start({**os.environ, **self.layout.environ})
        await child.wait_ready(_BACK_S)
        deadline_s = time.monotonic() + _BACK_S
        while reason := await self.management.not_ready_because():
            assert time.monotonic() < deadline_s, reason
            await asyncio.sleep(0.05)


@asynccontextmanager
async def open_real_line(folder: Path) -> AsyncIterator[RealLine]:
    """All of it, ready for calls."""
    config = folder / "app.ini"
    config.write_text(_CONFIG, encoding="utf-8")
    opensips = OpenSipsStandIn(sip_timeout_s=5.0)
    await opensips.start()
    layout = layouts.private(config, opensips.mi_port)
    try:
        async with Stack(layout, for_calls=True, log_folder=folder) as stack:
            await stack.ready()
            await opensips.wait_subscribed(_SUBSCRIBED_S)
            with Wire() as wire:
                yield RealLine(opensips, stack, layout, wire, Management(layout.management_url))
    finally:
        await opensips.stop()
