"""A server that is asked whether it is ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from core.errors import ProviderRejected, ProviderUnavailable
from core.providers import readiness
from core.providers.readiness import ReadinessWatch
from tests.contract.backend import until

Ask = Callable[[], Awaitable[None]]


class Server:
    """Is asked, and says why it is not ready."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.asked = 0

    async def ask(self) -> None:
        self.asked += 1
        if self.reason == "a fault":
            raise RuntimeError("of ours")
        if self.reason == "refused":
            raise ProviderRejected("test", self.reason)
        if self.reason:
            raise ProviderUnavailable("test", self.reason)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(readiness, "AWAY_INTERVAL_S", 0.005)
    caplog.set_level(logging.INFO)
    return caplog


async def test_each_change_is_told_once(log: pytest.LogCaptureFixture) -> None:
    server = Server("away")
    watch = ReadinessWatch("test", server.ask)
    watch.start()
    await until(lambda: server.asked > 3)
    assert not watch.ready
    server.reason = ""
    await until(lambda: watch.ready)
    server.reason = "away"
    watch.doubt()
    await until(lambda: not watch.ready)
    await watch.close()
    assert [record.getMessage() for record in log.records] == [
        "provider is not ready",
        "provider is ready",
        "provider is not ready",
    ]


async def test_a_doubt_is_looked_into_at_once(log: pytest.LogCaptureFixture) -> None:
    server = Server()
    watch = ReadinessWatch("test", server.ask)
    watch.start()
    await until(lambda: watch.ready)
    # Otherwise the next time would be in many seconds.
    watch.doubt()
    await until(lambda: server.asked == 2)
    await watch.close()


async def test_a_server_that_refuses_us_is_asked_less_often(
    log: pytest.LogCaptureFixture,
) -> None:
    server = Server("refused")
    watch = ReadinessWatch("test", server.ask)
    watch.start()
    await until(lambda: server.asked)
    # The time of ten times as many, were it asked like one that is away.
    await asyncio.sleep(0.05)
    assert server.asked == 1
    watch.doubt()
    await until(lambda: server.asked == 2)
    await watch.close()


async def test_a_fault_of_ours_does_not_end_the_watch(log: pytest.LogCaptureFixture) -> None:
    server = Server("a fault")
    watch = ReadinessWatch("test", server.ask)
    watch.start()
    await until(lambda: server.asked > 1)
    assert not watch.ready
    server.reason = ""
    await until(lambda: watch.ready)
    await watch.close()


async def test_a_closed_watch_asks_no_more_and_may_be_closed_again(log: pytest.LogCaptureFixture) -> None:
    asking = asyncio.Event()

    async def ask() -> None:
        asking.set()
        await asyncio.Event().wait()

    watch = ReadinessWatch("test", ask)
    await watch.close()
    watch.start()
    await asking.wait()
    await watch.close()
    await watch.close()
    assert not watch.ready
