"""A core that is full or ending says so to new callers, and does right by those it has."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.line import Line, open_line
from tools.caller.offer import make_offer
from tools.caller.sip import SipReply


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with open_line(tmp_path, {"performance": {"max_concurrent_sessions": 1, "drain_timeout_s": 60}}) as opened:
        yield opened


async def invited(line: Line) -> SipReply:
    """The final reply to one more call."""
    return await line.opensips.invite(make_offer("127.0.0.1", 40000, "PCMU", 1)).final()


async def test_a_call_too_many_is_refused_and_its_place_is_free_again_afterwards(line: Line) -> None:
    async with line.call() as call:
        await call.hears_something()
        refusal = await invited(line)
        assert (refusal.status, "retry-after" in refusal.headers) == (503, True)
        assert (await call.ask()).heard
    for _ in range(3):
        await until_no_call_is_up(line)
        async with line.call():
            assert (await invited(line)).status == 503
    await until_no_call_is_up(line)
    assert line.core.errors() == []


async def test_sigterm_refuses_new_calls_and_lets_the_one_that_is_up_end(line: Line) -> None:
    async with line.call() as call:
        await call.hears_something()
        line.core.signal(signal.SIGTERM)
        await until_draining(line)
        refusal = await invited(line)
        assert (refusal.status, "retry-after" in refusal.headers) == (503, True)
        assert (await call.ask()).heard
        assert call.up
    assert await line.core.exit_code(5.0) == 0
    assert line.opensips.sessions == {}
    # Unsubscribed, which OpenSIPS does by letting the subscription expire at once.
    assert [each.expire_s for each in line.opensips.events.subscribers if each.expire_s] == []
    assert line.core.errors() == []


async def test_second_sigterm_hangs_up_at_once(line: Line) -> None:
    async with line.call() as call:
        await call.hears_something()
        line.core.signal(signal.SIGTERM)
        await until_draining(line)
        assert call.up
        line.core.signal(signal.SIGTERM)
        assert "reason" in (await call.sip.next_request("BYE")).headers
        assert await line.core.exit_code(8.0) == 0
    assert line.opensips.sessions == {}
    assert line.core.errors() == []


async def until_no_call_is_up(line: Line) -> None:
    await line.opensips.settled()
    async with asyncio.timeout(5):
        while await line.core.calls():
            await asyncio.sleep(0.02)


async def until_draining(line: Line) -> None:
    async with asyncio.timeout(5):
        while "shutting down" not in (await line.core.get("/health/ready"))["reasons"]:
            await asyncio.sleep(0.02)
