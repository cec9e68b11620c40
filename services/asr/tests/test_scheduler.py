"""Finals first, late interim readings not at all, and nothing is lost when somebody gives up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from services.asr.scheduler import PassDropped, Priority, Scheduler


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(passes=1, interim_wait_s=0.05)
    yield scheduler
    await scheduler.close()


class Busy:
    """Keeps the scheduler's only thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.go_on = threading.Event()
        self.entered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(self.entered.set)
            assert self.go_on.wait(10)

        self.task = asyncio.create_task(scheduler.run(Priority.FINAL, lambda: work))


async def busy(scheduler: Scheduler) -> Busy:
    keeper = Busy(scheduler)
    await keeper.entered.wait()
    return keeper


def noting(log: list[str], name: str) -> Callable[[], Callable[[], None]]:
    return lambda: lambda: log.append(name)


async def test_finals_go_before_stable_before_interim_each_in_order() -> None:
    scheduler = Scheduler(passes=1, interim_wait_s=10.0)
    keeper = await busy(scheduler)
    log: list[str] = []
    waiting: list[asyncio.Task[None]] = []
    for priority in (Priority.INTERIM, Priority.STABLE, Priority.FINAL, Priority.STABLE, Priority.FINAL):
        name = f"{priority.name} {len(waiting)}"
        waiting.append(asyncio.create_task(scheduler.run(priority, noting(log, name))))
        await asyncio.sleep(0)
    assert scheduler.contended
    keeper.go_on.set()
    await asyncio.gather(*waiting)
    assert log == ["FINAL 2", "FINAL 4", "STABLE 1", "STABLE 3", "INTERIM 0"]
    assert not scheduler.contended
    await scheduler.close()


async def test_interim_that_waits_too_long_is_dropped(scheduler: Scheduler) -> None:
    keeper = await busy(scheduler)
    log: list[str] = []
    with pytest.raises(PassDropped):
        await scheduler.run(Priority.INTERIM, noting(log, "late"))
    keeper.go_on.set()
    await keeper.task
    await scheduler.run(Priority.INTERIM, noting(log, "in time"))
    assert log == ["in time"]


async def test_cancelled_waiter_is_passed_over(scheduler: Scheduler) -> None:
    keeper = await busy(scheduler)
    log: list[str] = []
    gone = asyncio.create_task(scheduler.run(Priority.FINAL, noting(log, "gone")))
    stays = asyncio.create_task(scheduler.run(Priority.STABLE, noting(log, "stays")))
    await asyncio.sleep(0)
    gone.cancel()
    keeper.go_on.set()
    await stays
    assert log == ["stays"]
    assert gone.cancelled()


async def test_turn_that_comes_to_a_cancelled_waiter_goes_on_to_the_next(scheduler: Scheduler) -> None:
    keeper = await busy(scheduler)
    log: list[str] = []
    gone = asyncio.create_task(scheduler.run(Priority.FINAL, noting(log, "gone")))
    stays = asyncio.create_task(scheduler.run(Priority.STABLE, noting(log, "stays")))
    await asyncio.sleep(0)
    # In this order both happen before the waiter runs again.
    scheduler._release()
    gone.cancel()
    keeper.go_on.set()
    await asyncio.wait_for(stays, 5)
    assert log == ["stays"]


async def test_thread_of_an_abandoned_pass_is_free_once_it_ends(scheduler: Scheduler) -> None:
    keeper = await busy(scheduler)
    keeper.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper.task
    log: list[str] = []
    waiting = asyncio.create_task(scheduler.run(Priority.FINAL, noting(log, "next")))
    await asyncio.sleep(0)
    assert log == []
    keeper.go_on.set()
    await asyncio.wait_for(waiting, 5)
    assert log == ["next"]


async def test_failure_in_a_pass_is_its_callers(scheduler: Scheduler) -> None:
    def fail() -> None:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        await scheduler.run(Priority.FINAL, lambda: fail)
    log: list[str] = []
    await scheduler.run(Priority.FINAL, noting(log, "after"))
    assert log == ["after"]


async def test_failure_before_a_pass_frees_its_place(scheduler: Scheduler) -> None:
    def prepare() -> Callable[[], None]:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        await scheduler.run(Priority.FINAL, prepare)
    log: list[str] = []
    await scheduler.run(Priority.FINAL, noting(log, "after"))
    assert log == ["after"]
