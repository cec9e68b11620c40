"""The thread the model runs on, and the bridge from it to the event loop: nothing of the model ever holds the loop."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from services.llm.engine import Engine, EngineFailed
from services.llm.generation import Finish, Generation, Job, Usage
from services.llm.scheduler import Scheduler

log = logging.getLogger(__name__)

# A decode step is tens of milliseconds; a loaded machine may take longer.
_JOIN_TIMEOUT_S = 10.0
_ORDER_TIMEOUT_S = 10.0


class QueueFull(Exception):
    """As many requests wait as may."""


@dataclass(frozen=True, slots=True)
class Ended:
    finish: Finish
    usage: Usage


class Answer:
    """What one request brings, on the event loop's side. Text not yet taken is joined; `max_tokens` bounds it."""

    def __init__(self, cancel: Callable[[], None], ended: Callable[[], None]) -> None:
        self.cancel = cancel
        self._on_ended = ended
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._text = ""
        self._ended: Ended | None = None
        self._detail = ""

    async def events(self) -> AsyncGenerator[str | Ended, None]:
        """The text as it comes, then `Ended`. Leaving early cancels the request.

        Raises:
            EngineFailed: the model could not go on.
        """
        try:
            while True:
                await self._news.wait()
                text, ended = self._take()
                if text:
                    yield text
                if ended is None:
                    continue
                if ended.finish is Finish.FAILED:
                    raise EngineFailed(self._detail)
                yield ended
                return
        finally:
            self.cancel()

    def on_text(self, text: str) -> None:
        with self._lock:
            self._text += text
        self._wake()

    def on_end(self, finish: Finish, usage: Usage, detail: str) -> None:
        with self._lock:
            self._ended, self._detail = Ended(finish, usage), detail
        self._on_ended()
        self._wake()

    def _take(self) -> tuple[str, Ended | None]:
        self._news.clear()
        with self._lock:
            text, self._text = self._text, ""
            return text, self._ended

    def _wake(self) -> None:
        # A loop that has been closed has no readers left.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)


class ModelThread:
    """Runs a scheduler. All methods are the event loop's, `start` to `stop`."""

    def __init__(self, engine: Engine, parallel: int, waiting_max: int) -> None:
        self._scheduler = Scheduler(engine, parallel)
        self._room = parallel + waiting_max
        self._parallel = parallel
        self._wanted = threading.Condition()
        self._orders: deque[Callable[[], None]] = deque()
        self._in_system = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.rejected = 0

    @property
    def request_tokens_max(self) -> int:
        return self._scheduler.cache.request_tokens_max

    @property
    def active(self) -> int:
        return min(self._in_system, self._parallel)

    @property
    def queued(self) -> int:
        return self._in_system - self.active

    @property
    def tokens_per_second(self) -> float:
        return self._scheduler.tokens_per_second

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> bool:
        """Ends what still runs as failed, and the thread; whether it has ended, so that its engine may be closed."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()
        await asyncio.to_thread(self._thread.join, _JOIN_TIMEOUT_S)
        return not self._thread.is_alive()

    def submit(self, job: Job) -> Answer:
        """Puts a request in the queue. The answer's events must be taken.

        Raises:
            QueueFull
        """
        if self._in_system >= self._room:
            self.rejected += 1
            raise QueueFull
        with self._wanted:
            self._in_system += 1
        answer = Answer(cancel=lambda: self._cancel(generation), ended=self._leave)
        generation = Generation(job, answer, time.monotonic())
        self._order(lambda: self._scheduler.add(generation))
        return answer

    async def forget(self, session_id: str) -> bool:
        """Frees what the cache holds of a session; whether there was anything."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()

        def forget() -> None:
            existed = self._scheduler.cache.forget(session_id)
            loop.call_soon_threadsafe(_resolve, done, existed)

        self._order(forget)
        async with asyncio.timeout(_ORDER_TIMEOUT_S):
            return await done

    def _order(self, order: Callable[[], None]) -> None:
        """Has the thread do something before its next step."""
        with self._wanted:
            self._orders.append(order)
            self._wanted.notify()

    def _cancel(self, generation: Generation) -> None:
        generation.cancelled = True
        with self._wanted:
            self._wanted.notify()

    def _leave(self) -> None:
        with self._wanted:
            self._in_system -= 1

    def _run(self) -> None:
        worked = True
        while True:
            with self._wanted:
                while not (worked or self._orders or self._stopping):
                    self._wanted.wait()
                    worked = True
                orders = list(self._orders)
                self._orders.clear()
            if self._stopping:
                break
            try:
                for order in orders:
                    order()
                worked = self._scheduler.step()
            except Exception:
                log.exception("scheduler failed")
                self._scheduler.end_all("the scheduler failed")
                worked = True
        for order in orders:
            order()
        self._scheduler.end_all("the service is stopping")


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)
