"""Keeps a provider that fails out of the conversation until it is well: the circuit breaker of one provider.

    closed ──failures in a row──> open ──retry_s──> half-open ──the probe succeeds──> closed
                                   ^                    │
                                   └───the probe fails──┘

After M. Nygard, Release It!, "Circuit Breaker".
"""

import logging
import time
from collections.abc import Callable
from enum import Enum
from weakref import WeakSet

from core.errors import ProviderError, ProviderRejected, ProviderTimeout
from core.observability import metrics

log = logging.getLogger(__name__)

# Several may guard providers of one name, for agents that configure them differently: the gauge is one.
_open_ones: dict[tuple[str, str], WeakSet["CircuitBreaker"]] = {}


class State(Enum):
    """Of a breaker: closed lets requests through, half-open one at a time, open none."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class CircuitBreaker:
    """Counts one provider's failures, for all calls that use it."""

    def __init__(
        self,
        stage: str,
        provider: str,
        failures: int,
        retry_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = stage
        self.provider = provider
        self._failures_max = failures
        self._retry_s = retry_s
        self._clock = clock
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probe: Trial | None = None
        self._probed_at_s = 0.0
        self._tell(is_open=False)

    @property
    def state(self) -> State:
        if self._opened_at_s is None:
            return State.CLOSED
        return State.HALF_OPEN if self._clock() - self._opened_at_s >= self._retry_s else State.OPEN

    def allows(self) -> bool:
        """Whether a request should go to the provider now. Takes no place: `began` does."""
        state = self.state
        if state is State.HALF_OPEN:
            # A probe of which nothing was heard for as long as this keeps nobody waiting.
            return self._probe is None or self._clock() - self._probed_at_s >= self._retry_s
        return state is State.CLOSED

    def began(self) -> "Trial":
        """A request goes to the provider, be it allowed or not; in half-open it is the probe."""
        trial = Trial(self)
        if self.state is State.HALF_OPEN and self.allows():
            self._probe, self._probed_at_s = trial, self._clock()
            log.info("provider is tried again", extra={"stage": self.stage, "provider": self.provider})
        return trial

    def succeeded(self) -> None:
        """A request was served to its end: the provider is well, whatever was known of it."""
        self._failures = 0
        if self._opened_at_s is not None:
            self._opened_at_s = None
            self._probe = None
            self._tell(is_open=False)
            log.info("provider is well again", extra={"stage": self.stage, "provider": self.provider})

    def failed(self, reason: str) -> None:
        """A request was not served, through the provider's fault; `reason` is one word for the log."""
        state = self.state
        self._failures += 1
        # One that was under way when the breaker opened is no news.
        if state is State.OPEN or (state is State.CLOSED and self._failures < self._failures_max):
            return
        self._opened_at_s = self._clock()
        self._probe = None
        self._tell(is_open=True)
        log.warning(
            "provider is left out",
            extra={"stage": self.stage, "provider": self.provider, "reason": reason, "retry_s": self._retry_s},
        )

    def abandoned(self, trial: "Trial") -> None:
        """A request said nothing about the provider; where it was the probe, another may be."""
        if self._probe is trial:
            self._probe = None

    def retire(self) -> None:
        """Its provider is used no more: nobody needs to know that it was left out."""
        self._tell(is_open=False)

    def _tell(self, *, is_open: bool) -> None:
        open_ones = _open_ones.setdefault((self.stage, self.provider), WeakSet())
        (open_ones.add if is_open else open_ones.discard)(self)
        metrics.BREAKER_OPEN.labels(self.stage, self.provider).set(bool(open_ones))


class Trial:
    """One request to a provider: the first that is said of how it went is what counts."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self.settled = False

    def succeeded(self) -> None:
        if not self.settled:
            self.settled = True
            self._breaker.succeeded()

    def failed(self, error: Exception) -> None:
        """A fault of the request's own does not count against the provider."""
        if isinstance(error, ProviderError) and not isinstance(error, ProviderRejected):
            if not self.settled:
                self.settled = True
                self._breaker.failed(reason_of(error))
        else:
            self.abandoned()

    def abandoned(self) -> None:
        """It says nothing about the provider: the caller spoke, or did not wait for the end."""
        if not self.settled:
            self.settled = True
            self._breaker.abandoned(self)


def reason_of(error: ProviderError) -> str:
    """One word for logs and metrics."""
    if isinstance(error, ProviderTimeout):
        return "timeout"
    return "rejected" if isinstance(error, ProviderRejected) else "unavailable"
