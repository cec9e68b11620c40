"""The thread that owns the model, seen from the event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.llm.engine import EngineFailed, Message
from services.llm.generation import Finish, Job
from services.llm.model_thread import Ended, ModelThread, QueueFull
from services.llm.tests.factories import SteppedEngine, make_settings, until


@contextlib.asynccontextmanager
async def started(engine: SteppedEngine, waiting_max: int = 4) -> AsyncIterator[ModelThread]:
    thread = ModelThread(engine, parallel=1, waiting_max=waiting_max)
    thread.start()
    try:
        yield thread
    finally:
        engine.run_freely()
        await thread.stop()


def make_job(engine: SteppedEngine, text: str = "hello", session_id: str = "") -> Job:
    return Job(engine.encode([Message("user", text)]), max_tokens=50, session_id=session_id)


async def test_text_nobody_took_yet_is_joined() -> None:
    engine = SteppedEngine(make_settings())
    async with started(engine) as thread:
        answer = thread.submit(make_job(engine))
        engine.run_freely()
        await until(lambda: not thread.active)
        events = [event async for event in answer.events()]
    assert events[0] == "You said: hello"
    assert isinstance(events[1], Ended)
    assert events[1].finish is Finish.STOP
    assert len(events) == 2


async def test_leaving_early_cancels_before_the_next_step() -> None:
    engine = SteppedEngine(make_settings())
    async with started(engine) as thread:
        engine.allow(2)
        async with contextlib.aclosing(thread.submit(make_job(engine)).events()) as events:
            assert await anext(events)
            await asyncio.to_thread(engine.wait_until_asked)
            await asyncio.to_thread(engine.wait_until_asked)
            await asyncio.to_thread(engine.wait_until_asked)
        # The third step was under way when the reader left; there is no fourth.
        engine.run_freely()
        await until(lambda: not thread.active)
        assert len(engine.steps) == 3


async def test_request_left_while_it_waits_makes_room() -> None:
    engine = SteppedEngine(make_settings())
    async with started(engine, waiting_max=1) as thread:
        running = thread.submit(make_job(engine))
        waiting = thread.submit(make_job(engine))
        with pytest.raises(QueueFull):
            thread.submit(make_job(engine))
        assert (thread.active, thread.queued, thread.rejected) == (1, 1, 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0), contextlib.aclosing(waiting.events()) as events:
                await anext(events)
        engine.allow(1)
        await until(lambda: not thread.queued)
        thread.submit(make_job(engine))
        engine.run_freely()
        assert [event async for event in running.events()]


async def test_stopping_ends_what_runs_as_failed() -> None:
    engine = SteppedEngine(make_settings())
    async with started(engine) as thread:
        answer = thread.submit(make_job(engine))
        await asyncio.to_thread(engine.wait_until_asked)
        stopping = asyncio.create_task(thread.stop())
        await asyncio.sleep(0)
        engine.run_freely()
        await stopping
        with pytest.raises(EngineFailed, match="stopping"):
            _ = [event async for event in answer.events()]


async def test_unforeseen_failure_ends_the_requests_and_not_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    class Surprising(SteppedEngine):
        def piece(self, token: int) -> bytes:
            raise RuntimeError("surprise")

    engine = Surprising(make_settings())
    engine.run_freely()
    async with started(engine) as thread:
        for _ in range(2):
            with pytest.raises(EngineFailed, match="scheduler failed"):
                _ = [event async for event in thread.submit(make_job(engine)).events()]
    assert "surprise" in caplog.text


async def test_session_is_forgotten_between_steps() -> None:
    engine = SteppedEngine(make_settings())
    engine.run_freely()
    async with started(engine) as thread:
        _ = [event async for event in thread.submit(make_job(engine, session_id="a")).events()]
        assert await thread.forget("a")
        assert not await thread.forget("a")


async def test_nobody_left_to_hear_an_order_is_harmless() -> None:
    engine = SteppedEngine(make_settings())
    async with started(engine) as thread:
        thread.submit(make_job(engine))
        await asyncio.to_thread(engine.wait_until_asked)
        forgetting = asyncio.create_task(thread.forget("a"))
        await asyncio.sleep(0)
        forgetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forgetting
        engine.run_freely()
        assert not await thread.forget("a")
