"""Ten calls over Twilio and ten over OpenSIPS at once through one core: each is answered, and nothing stays behind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conversation import Conversation
from tests.integration.core_process import Held
from tests.integration.line import Line, open_line, settled_down
from tests.integration.twilio_exchange import Exchange, settings_for
from tools.caller import timing
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn

pytestmark = [pytest.mark.slow]

CALLS_EACH = 10
PAIRS_A_SECOND = 8
TURNS = 2
# What the first round needed is used again by the second.
GROWTH_MB = 12.0


@dataclass
class Both:
    """One core, and a line of each kind to it."""

    line: Line
    exchange: Exchange

    async def settled(self) -> Held:
        """What core holds with no call up."""
        await self.line.opensips.settled()
        return await settled_down(self.line.core)


@asynccontextmanager
async def open_both(folder: Path) -> AsyncIterator[Both]:
    async with TwilioStandIn() as twilio, open_line(folder, settings_for(twilio, "opensips,twilio")) as line:
        with StreamWire() as wire:
            yield Both(line, Exchange(twilio, line.core, wire, AgentAddress(line.core.url)))


async def test_ten_calls_of_each_are_all_answered_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with open_both(tmp_path) as both:
        core = both.line.core
        await round_of_calls(both)
        before = await both.settled()
        await round_of_calls(both)
        await both.line.nothing_left(before)
        after = await both.settled()

        assert (after.fds, after.tasks) == (before.fds, before.tasks)
        assert after.rss_mb <= before.rss_mb + GROWTH_MB
        ended = (await core.get("/api/v1/calls/recent?limit=1000"))["calls"]
        assert len(ended) == 4 * CALLS_EACH
        assert {each["end_reason"] for each in ended} == {"caller_hung_up"}
        assert sum(each["media"]["packets_lost"] for each in ended) == 0
        assert sum(each["media"]["packets_discarded"] for each in ended) == 0
        assert core.errors() == []


async def round_of_calls(both: Both) -> None:
    """All are up at once, and each has been answered."""
    calls = [each for _ in range(CALLS_EACH) for each in (both.line.call(), both.exchange.call())]
    await all_at_once(calls)
    accounts = [await call.account() for call in calls]
    assert len({account.call_id for account in accounts}) == 2 * CALLS_EACH
    assert [account.transport for account in accounts] == ["opensips", "twilio"] * CALLS_EACH
    for call in calls:
        # A busy machine may cut a question in two; each is answered all the same.
        assert sum(bool(turn.spoken) for turn in await call.answers()) >= TURNS
        assert timing.rtp_quality(call.trace).lost == 0
        assert call.trace.discarded == 0


async def all_at_once(calls: Sequence[Conversation]) -> None:
    """None hangs up before all have had their answers."""
    answered = asyncio.Barrier(len(calls))
    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(calls):
            group.create_task(converse(call, answered))
            if number % 2:
                await asyncio.sleep(1 / PAIRS_A_SECOND)


async def converse(call: Conversation, answered: asyncio.Barrier) -> None:
    async with call:
        await call.hears_something()
        for _ in range(TURNS):
            await call.ask()
        await answered.wait()
