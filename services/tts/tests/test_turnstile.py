"""Who renders next, and when the engine rests."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from services.tts.turnstile import Turnstile

TIMEOUT_S = 5


class Work:
    """Blocks its thread until told to end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(TIMEOUT_S)
        return "done"


class Rest:
    def __init__(self) -> None:
        self.happened = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.happened.set()
        if self.error:
            raise self.error


@pytest.fixture
def rest() -> Rest:
    return Rest()


@pytest.fixture
async def turnstile(rest: Rest) -> AsyncIterator[Turnstile]:
    turnstile = Turnstile(1, rest, 60)
    yield turnstile
    turnstile.cancel_rest()
    turnstile.close()


async def begun(work: Work) -> None:
    assert await asyncio.to_thread(work.begun.wait, TIMEOUT_S)


async def test_the_earliest_deadline_goes_first(turnstile: Turnstile) -> None:
    work, order = Work(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(turnstile.run(0, work))
        await begun(work)
        for deadline_s, name in ((30.0, "later clause"), (10.0, "first clause"), (10.0, "another first clause")):
            tasks.create_task(turnstile.run(deadline_s, lambda name=name: order.append(name)))  # type: ignore[misc]
        await asyncio.sleep(0)
        assert turnstile.waiting == 3
        work.may_end.set()
    assert order == ["first clause", "another first clause", "later clause"]


async def test_who_gives_up_while_waiting_is_passed_over(turnstile: Turnstile) -> None:
    work, rendered = Work(), list[str]()
    running = asyncio.create_task(turnstile.run(0, work))
    await begun(work)
    gone = asyncio.create_task(turnstile.run(1, lambda: rendered.append("gone")))
    stays = asyncio.create_task(turnstile.run(2, lambda: rendered.append("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    work.may_end.set()
    await asyncio.gather(running, stays)
    assert rendered == ["stays"]


async def test_who_gives_up_on_their_turn_passes_it_on(turnstile: Turnstile) -> None:
    await turnstile._turn(0)
    gone = asyncio.create_task(turnstile.run(1, lambda: "gone"))
    await asyncio.sleep(0)
    turnstile._pass_on()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    async with asyncio.timeout(TIMEOUT_S):
        assert await turnstile.run(2, lambda: "next") == "next"


async def test_a_thread_is_free_only_when_its_work_is_over(turnstile: Turnstile) -> None:
    abandoned, following = Work(), Work()
    first = asyncio.create_task(turnstile.run(0, abandoned))
    await begun(abandoned)
    first.cancel()
    second = asyncio.create_task(turnstile.run(1, following))
    await asyncio.sleep(0)
    assert first.cancelled()
    assert turnstile.waiting == 1
    assert not following.begun.is_set()
    abandoned.may_end.set()
    following.may_end.set()
    assert await second == "done"


async def test_an_error_reaches_who_asked_and_the_next_is_served(turnstile: Turnstile) -> None:
    def fail() -> None:
        raise ValueError("engine")

    with pytest.raises(ValueError, match="engine"):
        await turnstile.run(0, fail)
    assert await turnstile.run(0, lambda: "next") == "next"


async def test_several_threads_work_at_once(rest: Rest) -> None:
    turnstile, works = Turnstile(2, rest, 60), [Work(), Work()]
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(turnstile.run(0, work))
        for work in works:
            await begun(work)
            work.may_end.set()
    turnstile.cancel_rest()
    turnstile.close()


@pytest.mark.parametrize("error", [None, RuntimeError("no memory to give")])
async def test_it_rests_when_nothing_was_asked_for_and_works_on_afterwards(
    rest: Rest, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    rest.error = error
    turnstile = Turnstile(1, rest, 0.001)
    await turnstile.run(0, lambda: None)
    assert await asyncio.to_thread(rest.happened.wait, TIMEOUT_S)
    assert await turnstile.run(0, lambda: "again") == "again"
    assert [record.message for record in caplog.records] == (["memory not given back"] if error else [])
    turnstile.cancel_rest()
    turnstile.close()


async def test_work_puts_the_rest_off(turnstile: Turnstile, rest: Rest) -> None:
    await turnstile.run(0, lambda: None)
    assert turnstile._rest_timer is not None
    work = Work()
    running = asyncio.create_task(turnstile.run(0, work))
    await begun(work)
    assert turnstile._rest_timer is None
    work.may_end.set()
    await running
    assert not rest.happened.is_set()
