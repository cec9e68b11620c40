"""A process drains on the first signal, is forced by the second, and says why it takes no work."""

import asyncio
import os
import signal

import pytest

from services.common.lifecycle import Lifecycle, Readiness, State


async def test_a_process_is_not_ready_until_it_says_so() -> None:
    lifecycle = Lifecycle()
    assert (lifecycle.state, lifecycle.readiness) == (State.STARTING, Readiness(ready=False, reason="starting"))
    lifecycle.ready()
    assert (lifecycle.state, lifecycle.readiness) == (State.READY, Readiness(ready=True))
    lifecycle.not_ready("model missing", "fetch it")
    assert lifecycle.readiness == Readiness(ready=False, reason="model missing", action="fetch it")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_the_second_forces(number: signal.Signals) -> None:
    lifecycle = Lifecycle()
    lifecycle.ready()
    async with lifecycle.signals():
        os.kill(os.getpid(), number)
        await asyncio.wait_for(lifecycle.draining.wait(), 5)
        assert lifecycle.state is State.DRAINING
        assert lifecycle.readiness == Readiness(ready=False, reason="shutting down")
        assert not lifecycle.forced.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(lifecycle.forced.wait(), 5)
        # The third one is the system's.
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_signals_are_left_as_they_were_found() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with Lifecycle().signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


async def test_a_draining_process_does_not_become_ready_again() -> None:
    lifecycle = Lifecycle()
    lifecycle.request_stop("test")
    lifecycle.ready()
    lifecycle.not_ready("another reason")
    assert lifecycle.readiness.reason == "shutting down"
    lifecycle.stopped()
    assert lifecycle.state is State.STOPPED


async def test_each_change_is_told_once() -> None:
    lifecycle = Lifecycle()
    told: list[State] = []
    lifecycle.on_change(lambda: told.append(lifecycle.state))
    lifecycle.ready()
    lifecycle.ready()
    lifecycle.request_stop("a")
    lifecycle.request_stop("b")
    lifecycle.request_stop("c")
    lifecycle.stopped()
    assert told == [State.READY, State.DRAINING, State.STOPPED]


async def test_a_drain_ends_when_the_work_is_done() -> None:
    lifecycle = Lifecycle()
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    assert await lifecycle.drain(done.wait(), timeout_s=5)


async def test_a_drain_ends_at_its_time_or_at_the_second_signal() -> None:
    lifecycle = Lifecycle()
    assert not await lifecycle.drain(asyncio.Event().wait(), timeout_s=0)
    lifecycle.request_stop("a")
    asyncio.get_running_loop().call_soon(lifecycle.request_stop, "b")
    assert not await lifecycle.drain(asyncio.Event().wait(), timeout_s=60)


async def test_a_drain_raises_what_the_work_raises() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Lifecycle().drain(work(), timeout_s=5)
