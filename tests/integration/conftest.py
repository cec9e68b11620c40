"""One core with scripted providers for the tests of a module that leave it as they found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.core_process import Held
from tests.integration.line import Line, open_line, warmed_up


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    async with open_line(tmp_path_factory.mktemp("core")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before(line: Line) -> Held:
    """What core held before the tests, after one ordinary call."""
    return await warmed_up(line)
