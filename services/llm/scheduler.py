"""Continuous batching: every step, each request that is answering gets its next token, and some prompt is evaluated.

Requests start in the order they came. A step takes a token of every answer first; what is left of it goes to the
prompts, the shortest first, so that neither a long answer nor a long prompt keeps anyone waiting for more than a step.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from services.llm.engine import Engine, EngineFailed, Feed
from services.llm.generation import Finish, Generation
from services.llm.prefix_cache import PrefixCache

log = logging.getLogger(__name__)

# Over so many of the last steps the rate of tokens is measured.
_RATE_STEPS = 256
# The part of a step that the prompt which came first has for itself.
_OLDEST_PROMPT_DIVISOR = 4


class Scheduler:
    """Used by one thread, save for the numbers it shows."""

    def __init__(self, engine: Engine, parallel: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.cache = PrefixCache(engine)
        self._engine = engine
        self._parallel = parallel
        self._clock = clock
        self._waiting: deque[Generation] = deque()
        self._active: list[Generation] = []
        self._steps: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS)

    @property
    def active(self) -> int:
        return len(self._active)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def tokens_per_second(self) -> float:
        """Drawn by all requests together, over the last steps that drew any; 0 before the first."""
        steps = list(self._steps)
        elapsed_s = sum(seconds for _, seconds in steps)
        return sum(tokens for tokens, _ in steps) / elapsed_s if elapsed_s else 0.0

    def add(self, generation: Generation) -> None:
        self._waiting.append(generation)

    def step(self) -> bool:
        """Gives every request its share of one step; False when there is nothing to do."""
        self._drop_cancelled()
        self._admit()
        shares = [(generation, take) for generation, take in self._shares() if take]
        if not shares:
            return False
        started_s = self._clock()
        try:
            drawn = self._engine.step([_feed(generation, take) for generation, take in shares])
        except EngineFailed as error:
            log.error("step failed", extra={"reason": str(error), "requests": len(shares)})
            for generation, _ in shares:
                self._end(generation, Finish.FAILED, "the model failed", keep_cache=False)
            return True
        tokens = sum(token is not None for token in drawn)
        if tokens:
            self._steps.append((tokens, self._clock() - started_s))
        for (generation, take), token in zip(shares, drawn, strict=True):
            self._advance(generation, take, token)
        return True

    def end_all(self, detail: str) -> None:
        """Ends every request as failed, what they evaluated is forgotten."""
        for generation in [*self._active, *self._waiting]:
            self._end(generation, Finish.FAILED, detail, keep_cache=False)
        self._waiting.clear()

    def _drop_cancelled(self) -> None:
        for generation in [g for g in (*self._active, *self._waiting) if g.cancelled]:
            if generation in self._waiting:
                self._waiting.remove(generation)
            self._end(generation, Finish.CANCELLED)

    def _admit(self) -> None:
        while self._waiting and len(self._active) < self._parallel:
            generation = self._next_waiting()
            job = generation.job
            place = self.cache.acquire(job.session_id, job.prompt, job.max_tokens)
            if place is None and self._active:
                return
            self._waiting.remove(generation)
            if place is None:
                self._end(generation, Finish.FAILED, "no room in the cache")
                continue
            generation.place = place
            generation.pending = list(job.prompt[len(place.tokens) :])
            generation.usage.cached_tokens = len(place.tokens)
            generation.usage.queued_s = self._clock() - generation.submitted_s
            self._active.append(generation)
            if job.max_tokens:
                generation.sampler = self._engine.sampler(job.sampling)
            elif not generation.pending:
                self._end(generation, Finish.LENGTH)

    def _next_waiting(self) -> Generation:
        """The first of a session that has no request running, so that one call cannot take every place."""
        running = {generation.job.session_id for generation in self._active} - {""}
        return next((g for g in self._waiting if g.job.session_id not in running), self._waiting[0])

    def _shares(self) -> list[tuple[Generation, int]]:
        """How many tokens each request has evaluated in this step."""
        prompts = [generation for generation in self._active if not generation.answering]
        room = self._engine.info.step_tokens - (len(self._active) - len(prompts))
        shares = [(generation, 1) for generation in self._active if generation.answering]
        takes = dict.fromkeys(prompts, 0)
        if prompts:
            # Whoever came first gets on, however many shorter ones come after.
            takes[prompts[0]] = min(len(prompts[0].pending), max(room // _OLDEST_PROMPT_DIVISOR, 1))
            room -= takes[prompts[0]]
        for generation in sorted(prompts, key=lambda generation: len(generation.pending)):
            more = min(len(generation.pending) - takes[generation], room)
            takes[generation] += more
            room -= more
        shares.extend(takes.items())
        return shares

    def _advance(self, generation: Generation, take: int, token: int | None) -> None:
        assert generation.place is not None
        self.cache.append(generation.place, generation.pending[:take])
        del generation.pending[:take]
        if token is not None:
            self._take_token(generation, token)
        elif not generation.pending:
            self._end(generation, Finish.LENGTH)

    def _take_token(self, generation: Generation, token: int) -> None:
        usage = generation.usage
        if not usage.completion_tokens:
            usage.first_token_s = self._clock() - generation.submitted_s
        usage.completion_tokens += 1
        if self._engine.is_end(token):
            self._finish(generation, Finish.STOP)
            return
        self._say(generation, generation.text.feed(self._engine.piece(token)))
        if generation.text.stopped:
            self._end(generation, Finish.STOP)
        elif usage.completion_tokens >= generation.job.max_tokens:
            self._finish(generation, Finish.LENGTH)
        else:
            generation.pending = [token]

    def _finish(self, generation: Generation, finish: Finish) -> None:
        self._say(generation, generation.text.finish())
        self._end(generation, finish)

    def _say(self, generation: Generation, text: str) -> None:
        if text:
            generation.listener.on_text(text)

    def _end(self, generation: Generation, finish: Finish, detail: str = "", *, keep_cache: bool = True) -> None:
        if generation in self._active:
            self._active.remove(generation)
        place, generation.place = generation.place, None
        if place is not None:
            if not keep_cache:
                self.cache.truncate(place, 0)
            self.cache.release(place, pinned=generation.job.pinned and finish is Finish.LENGTH)
        if generation.sampler is not None:
            generation.sampler.close()
            generation.sampler = None
        generation.listener.on_end(finish, generation.usage, detail)


def _feed(generation: Generation, take: int) -> Feed:
    """The sampler goes along with the last of the prompt, and with each token of the answer."""
    assert generation.place is not None
    sampler = generation.sampler if take == len(generation.pending) else None
    place = generation.place
    return Feed(place.sequence, generation.pending[:take], len(place.tokens), sampler)
