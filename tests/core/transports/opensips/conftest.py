"""A connector beside a stand-in of OpenSIPS, and the check that neither has anything left afterwards."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from tests.core.transports.opensips.rig import Rig
from tools.caller.opensips import OpenSipsStandIn


@pytest.fixture
async def plane() -> AsyncIterator[MediaPlane]:
    settings = MediaSettings(rtp_bind_ip="127.0.0.1", rtp_min_port=20000, rtp_max_port=59998, port_quarantine_s=0)
    plane = MediaPlane(settings)
    yield plane
    plane.close()


@pytest.fixture
async def rig(plane: MediaPlane) -> AsyncIterator[Rig]:
    before = asyncio.all_tasks()
    opensips = OpenSipsStandIn(sip_timeout_s=1.0)
    await opensips.start()
    rig = Rig(opensips, plane)
    try:
        yield rig
        if opensips.sessions:
            await opensips.settled()
    finally:
        await rig.disconnect()
        left = list(opensips.sessions)
        await opensips.stop()
    assert left == []
    assert opensips.violations == []
    assert plane.streams == 0
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
