"""What a model has had done outside for one question: never twice, however often its answer is begun anew."""

import asyncio
import json
import logging
from dataclasses import dataclass, field
from typing import Literal

from core.dialogue.tools import Fetch
from core.pipeline.http_request import RequestFailed, request

log = logging.getLogger(__name__)

REQUEST_FAILED = "That did not work: the request failed. Say so, and do not guess what the answer would have been."
# A request that does not stop sooner is left to its own timeout.
STOP_TIMEOUT_S = 2.0

Outcome = Literal["done", "accepted", "repeated", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a call of a tool.

    Attributes:
        text: for the model.
        is_fact: what the text states may be spoken.
    """

    outcome: Outcome
    text: str = field(repr=False)
    is_fact: bool = False


@dataclass(slots=True)
class KeyPresses:
    """Keys on their way to the far end; `sent` from the moment at which they are handed to the leg."""

    digits: str = field(repr=False)
    sent: bool = False


@dataclass(slots=True)
class Effects:
    """What was done for one question so far."""

    requests: dict[str, asyncio.Task[Result]] = field(default_factory=dict)
    keys: dict[str, KeyPresses] = field(default_factory=dict)

    @property
    def keys_waiting(self) -> bool:
        """Whether keys that were asked for have not been sent."""
        return any(not keys.sent for keys in self.keys.values())

    def begin_again(self) -> None:
        """Another answer: keys that the one before did not come to send never will be."""
        self.keys = {digits: keys for digits, keys in self.keys.items() if keys.sent}

    def press(self, digits: str) -> KeyPresses | None:
        """Keys to be sent; None where these were, or are about to be."""
        if digits in self.keys:
            return None
        self.keys[digits] = KeyPresses(digits)
        return self.keys[digits]


class Requests:
    """The HTTP requests of one call.

    One that is under way outlives a reply that is dropped, so that the next answer to the same question finds what
    came of it; each ends by its own timeout. Needs a running loop.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Result]] = set()

    async def fetch(self, asked: Fetch, effects: Effects) -> Result:
        """The result, of an earlier request with the same arguments where there was one."""
        name = json.dumps(asked.arguments, sort_keys=True)
        task = effects.requests.get(name)
        if task is None or (asked.tool.method == "GET" and task.done() and task.result().outcome == "failed"):
            task = asyncio.get_running_loop().create_task(self._fetch(asked), name="http tool")
            effects.requests[name] = task
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return await asyncio.shield(task)
        result = await asyncio.shield(task)
        return Result("repeated", result.text, result.is_fact)

    async def stop(self) -> None:
        """The call is over."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=STOP_TIMEOUT_S)

    async def _fetch(self, asked: Fetch) -> Result:
        try:
            text = await request(asked)
        except RequestFailed as error:
            log.warning("http tool failed", extra={"tool": asked.tool.name, "error": str(error)})
            return Result("failed", REQUEST_FAILED)
        return Result("done", text or "Done.", is_fact=bool(text))
