"""A transport that runs."""

from collections.abc import AsyncIterator

import pytest

from tests.core.transports.twilio.rig import Rig, running


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig
