"""Processes: started, waited for, weighed, stopped."""

import asyncio
import os
from pathlib import Path

import pytest

from tools.oavc.child import Child, StartFailed

SERVES = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", flush=True)
pathlib.Path("ready").touch()
while True:
    time.sleep(0.05)
"""
LOG, READY, MODULE = Path("logs/fake.log"), Path("ready"), Path("fake_process.py")
STUBBORN = SERVES.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reason() -> str:
    return "" if READY.exists() else "no file yet"


async def file_ready() -> str:
    return reason()


def write_module(source: str) -> None:
    MODULE.write_text(source)


def log_text() -> str:
    return LOG.read_text()


async def started(source: str, niceness: int = 0) -> Child:
    write_module(source)
    child = Child("fake", "fake_process", LOG, file_ready, niceness)
    await child.start(os.environ)
    return child


async def test_process_is_ready_once_its_probe_says_so() -> None:
    child = await started(SERVES, niceness=5)
    try:
        await child.wait_ready(10)
        assert child.startup_s is not None
        assert 0 < child.startup_s < 10
        assert 2 < child.rss_mb() < 200
        assert child.pid is not None
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
        assert "serving" in log_text()
    finally:
        await child.stop(5)
    assert child.rss_mb() == 0


async def test_process_that_ends_at_once_shows_the_end_of_its_log() -> None:
    child = await started("raise SystemExit('port 50051 is taken')")
    with pytest.raises(StartFailed, match=r"fake: ended with code 1\n.*fake\.log:\n    port 50051 is taken"):
        await child.wait_ready(10)
    await child.stop(5)


async def test_process_that_does_not_get_ready_says_why() -> None:
    child = await started(SERVES.replace('pathlib.Path("ready").touch()', ""))
    try:
        with pytest.raises(StartFailed, match=r"not ready after 0\.3 s: no file yet"):
            await child.wait_ready(0.3)
    finally:
        await child.stop(5)


async def test_process_that_ignores_sigterm_is_killed() -> None:
    child = await started(STUBBORN)
    await child.wait_ready(10)
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0)
    await child.stop(0.3)
    assert await waiting == -9


async def test_stopping_twice_is_harmless() -> None:
    child = await started(SERVES)
    await child.wait_ready(10)
    await child.stop(5)
    await child.stop(5)
