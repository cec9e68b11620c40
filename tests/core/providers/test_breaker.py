"""When a provider is left out, and when it is tried again."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import REGISTRY

from core.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.breaker import CircuitBreaker, State, Trial, reason_of

GONE = ProviderUnavailable("a", "gone")
RETRY_S = 15.0


class _Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def breaker(clock: _Clock) -> Iterator[CircuitBreaker]:
    breaker = CircuitBreaker("llm", "guarded", 2, RETRY_S, clock)
    yield breaker
    breaker.retire()


def gauge(provider: str = "guarded") -> float | None:
    return REGISTRY.get_sample_value("oavc_provider_breaker_open", {"stage": "llm", "provider": provider})


def opened(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        breaker.began().failed(GONE)


def test_failures_in_a_row_open_it_and_the_gauge_and_the_log_say_so(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    breaker.began().failed(GONE)
    assert breaker.allows()
    assert gauge() == 0

    breaker.began().failed(ProviderTimeout("a", "slow"))

    assert (breaker.state, breaker.allows(), gauge()) == (State.OPEN, False, 1)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["provider"] == "guarded"
    assert vars(record)["reason"] == "timeout"


def test_the_gauge_tells_of_any_that_is_open_for_agents_that_break_differently(clock: _Clock) -> None:
    opens, stays = CircuitBreaker("llm", "b", 2, RETRY_S, clock), CircuitBreaker("llm", "b", 9, RETRY_S, clock)
    opened(opens)
    stays.succeeded()
    later = CircuitBreaker("llm", "b", 3, RETRY_S, clock)
    assert gauge("b") == 1

    for _ in range(3):
        later.began().failed(GONE)
    opens.succeeded()
    assert gauge("b") == 1

    later.retire()
    assert gauge("b") == 0


def test_a_success_in_between_starts_the_count_again(breaker: CircuitBreaker) -> None:
    breaker.failed("unavailable")
    breaker.succeeded()
    breaker.failed("unavailable")

    assert breaker.state is State.CLOSED


def test_it_is_half_open_after_the_pause_for_one_probe_at_a_time(breaker: CircuitBreaker, clock: _Clock) -> None:
    opened(breaker)
    clock.now_s += RETRY_S - 0.1
    assert not breaker.allows()

    clock.now_s += 0.1
    assert breaker.state is State.HALF_OPEN
    assert breaker.allows()
    probe = breaker.began()
    assert not breaker.allows()

    probe.succeeded()
    assert (breaker.state, breaker.allows(), gauge()) == (State.CLOSED, True, 0)


def test_a_probe_that_fails_opens_it_for_another_pause(breaker: CircuitBreaker, clock: _Clock) -> None:
    opened(breaker)
    clock.now_s += RETRY_S
    breaker.began().failed(GONE)

    assert breaker.state is State.OPEN
    clock.now_s += RETRY_S - 0.1
    assert not breaker.allows()
    clock.now_s += 0.1
    assert breaker.allows()


def test_a_probe_that_says_nothing_lets_another_one_be_sent(breaker: CircuitBreaker, clock: _Clock) -> None:
    opened(breaker)
    clock.now_s += RETRY_S
    breaker.began().abandoned()

    assert breaker.allows()


def test_a_request_of_before_that_says_nothing_does_not_stand_in_for_the_probe(
    breaker: CircuitBreaker, clock: _Clock
) -> None:
    straggler = breaker.began()
    opened(breaker)
    clock.now_s += RETRY_S
    breaker.began()

    straggler.abandoned()

    assert not breaker.allows()


def test_a_probe_of_which_nothing_is_heard_is_not_waited_for_for_ever(breaker: CircuitBreaker, clock: _Clock) -> None:
    opened(breaker)
    clock.now_s += RETRY_S
    breaker.began()
    clock.now_s += RETRY_S

    assert breaker.allows()


def test_a_failure_of_before_does_not_lengthen_the_pause(breaker: CircuitBreaker, clock: _Clock) -> None:
    straggler = breaker.began()
    opened(breaker)
    clock.now_s += RETRY_S - 1
    straggler.failed(GONE)
    clock.now_s += 1

    assert breaker.allows()


@pytest.mark.parametrize("error", [ProviderRejected("a", "no such voice"), ValueError("empty")])
def test_a_fault_of_the_requests_own_does_not_count(breaker: CircuitBreaker, error: Exception) -> None:
    for _ in range(10):
        breaker.began().failed(error)

    assert breaker.state is State.CLOSED


def test_only_the_first_that_is_said_of_a_request_counts(breaker: CircuitBreaker) -> None:
    trial = breaker.began()
    trial.succeeded()
    for _ in range(10):
        trial.failed(GONE)

    assert breaker.state is State.CLOSED


def test_reasons_are_words_of_a_small_set() -> None:
    assert [
        reason_of(kind("a", "it said so")) for kind in (ProviderUnavailable, ProviderTimeout, ProviderRejected)
    ] == [
        "unavailable",
        "timeout",
        "rejected",
    ]


class BreakerMachine(RuleBasedStateMachine):
    """Any order of requests, verdicts and time, beside a model that is told only what the documentation says."""

    @initialize(failures=st.integers(1, 4))
    def begin(self, failures: int) -> None:
        self.clock = _Clock()
        self.breaker = CircuitBreaker("llm", "machine", failures, RETRY_S, self.clock)
        self.failures_max = failures
        self.in_a_row = 0
        self.open_since_s: float | None = None
        self.probe: tuple[Trial, float] | None = None
        self.under_way: list[Trial] = []

    def teardown(self) -> None:
        self.breaker.retire()

    def half_open(self) -> bool:
        return self.open_since_s is not None and self.clock() - self.open_since_s >= RETRY_S

    def probing(self) -> bool:
        return self.probe is not None and self.clock() - self.probe[1] < RETRY_S

    @rule()
    def ask(self) -> None:
        half_open_and_free = self.half_open() and not self.probing()
        trial = self.breaker.began()
        self.under_way.append(trial)
        if half_open_and_free:
            self.probe = trial, self.clock()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        self._one(data).succeeded()
        self.in_a_row, self.open_since_s, self.probe = 0, None, None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        half_open = self.half_open()
        self._one(data).failed(GONE)
        self.in_a_row += 1
        if half_open or (self.open_since_s is None and self.in_a_row >= self.failures_max):
            self.open_since_s, self.probe = self.clock(), None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        trial = self._one(data)
        trial.abandoned()
        if self.probe is not None and self.probe[0] is trial:
            self.probe = None

    @rule(seconds=st.sampled_from([0.1, RETRY_S / 2, RETRY_S, 100.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def _one(self, data: st.DataObject) -> Trial:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    @invariant()
    def agrees(self) -> None:
        closed = self.open_since_s is None
        assert self.breaker.allows() == (closed or (self.half_open() and not self.probing()))
        assert gauge("machine") == (0 if closed else 1)


BreakerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
