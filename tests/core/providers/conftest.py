"""Time that costs none, and a look for what a test leaves running."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.virtual_time import VirtualTime


@pytest.fixture
async def clock() -> AsyncIterator[VirtualTime]:
    """The loop's own time from here on; no task may be left at the end."""
    before = asyncio.all_tasks()
    yield VirtualTime(asyncio.get_running_loop())
    await asyncio.sleep(10.0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, left
