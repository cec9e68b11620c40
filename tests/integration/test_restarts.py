"""OpenSIPS and core go away and come back, in either order, with calls up."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.core_process import MI_PORT, CoreProcess, Held
from tests.integration.line import Line, open_line, settled_down, warmed_up
from tools.caller.agent_account import Management
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.wire import Wire

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

IMPATIENT = {"opensips": {"audit_interval_s": 0.5}, "media": {"inactivity_s": 2.0, "port_quarantine_s": 0.2}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    async with open_line(tmp_path_factory.mktemp("core"), IMPATIENT) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before(line: Line) -> Held:
    return await warmed_up(line)


async def test_calls_survive_a_restart_of_opensips_and_end_when_their_callers_do(line: Line, before: Held) -> None:
    async with line.call() as talking, line.call() as gone:
        await asyncio.gather(talking.hears_something(), gone.hears_something())
        await line.opensips.restart(downtime_s=0.5)
        since_s = time.monotonic()
        await line.opensips.wait_subscribed(5.0)
        assert time.monotonic() - since_s < 5.0
        await gone.vanish()
        # OpenSIPS has forgotten the call; the two who talk have not.
        async with asyncio.TaskGroup() as group:
            still = group.create_task(talking.ask())
            anew = group.create_task(line.ordinary_call())
        assert still.result().heard
        assert anew.result().heard
        # The BYE of a forgotten session is answered by OpenSIPS alone: core must find out by itself.
        await talking.vanish()
    await line.nothing_left(before)
    assert line.core.errors() == []
    reasons = {each["end_reason"] for each in (await line.core.get("/api/v1/calls/recent"))["calls"][:3]}
    assert reasons <= {"caller_hung_up", "media_timeout", "signalling_lost"}


async def test_calls_of_a_core_that_was_killed_are_ended_by_the_next_one(line: Line, before: Held) -> None:
    async with line.call() as first, line.call() as second:
        await asyncio.gather(first.hears_something(), second.hears_something())
        await line.core.kill()
        # Without core OpenSIPS takes calls that nobody answers.
        unanswered = line.opensips.invite("v=0")
        assert len(line.opensips.sessions) == 3
        await line.core.start()
        async with asyncio.timeout(10):
            await first.sip.hung_up.wait()
            await second.sip.hung_up.wait()
        assert (await unanswered.final(10)).status >= 400
    await line.opensips.settled()
    assert (await line.ordinary_call()).heard
    await line.opensips.settled()
    await line.nothing_left(await settled_down(line.core))
    assert line.core.errors() == []


async def test_core_may_start_before_opensips(tmp_path: Path) -> None:
    core = CoreProcess(tmp_path)
    opensips = OpenSipsStandIn(host=core.address, mi_port=MI_PORT)
    try:
        await core.start(for_calls=False)
        assert "opensips is not connected" in (await core.get("/health/ready"))["reasons"]
        await opensips.start()
        try:
            await opensips.wait_subscribed(5.0)
            with Wire() as wire:
                assert (await Line(opensips, core, wire, Management(core.url)).ordinary_call()).heard
            await opensips.settled()
        finally:
            await opensips.stop()
    finally:
        await core.stop()
    assert core.errors() == []
