"""Twenty calls at once through one OpenSIPS: each is answered, nothing is lost, and nothing stays behind."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.line import open_line, warmed_up
from tests.integration.live_call import LiveCall
from tools.caller import timing

pytestmark = [pytest.mark.slow]

CALLS = 20
CALLS_A_SECOND = 5
TURNS = 2


async def test_twenty_calls_are_all_answered_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with open_line(tmp_path) as line:
        before = await warmed_up(line)
        calls = [line.call() for _ in range(CALLS)]
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(converse(call))
                await asyncio.sleep(1 / CALLS_A_SECOND)
        assert len({(await call.account()).call_id for call in calls}) == CALLS
        for call in calls:
            # A busy machine may cut a question in two; each is answered all the same.
            assert sum(bool(turn.spoken) for turn in await call.answers()) >= TURNS
            assert timing.rtp_quality(call.trace).lost == 0
        await line.nothing_left(before)
        ended = (await line.core.get(f"/api/v1/calls/recent?limit={CALLS}"))["calls"]
        assert {each["end_reason"] for each in ended} == {"caller_hung_up"}
        assert sum(each["media"]["packets_lost"] for each in ended) == 0
        assert line.core.errors() == []


async def converse(call: LiveCall) -> None:
    async with call:
        await call.hears_something()
        for _ in range(TURNS):
            await call.ask()
