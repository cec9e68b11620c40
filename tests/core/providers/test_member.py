"""Whom a request goes to, and in which order."""

import pytest
from prometheus_client import REGISTRY

from core.errors import ProviderUnavailable
from core.providers.breaker import CircuitBreaker
from core.providers.member import Candidates, Member, note_takeover


class _Provider:
    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True


def members(*names: str) -> list[Member[_Provider]]:
    return [Member(_Provider(name), CircuitBreaker("asr", name, 1, 15.0)) for name in names]


def order(candidates: Candidates[_Provider]) -> list[str]:
    tried: list[str] = []
    while (member := candidates.next()) is not None:
        tried.append(member.provider.name)
    return tried


def test_they_are_tried_in_the_order_of_the_settings_each_once() -> None:
    assert order(Candidates(members("a", "b", "c"))) == ["a", "b", "c"]


def test_one_that_is_not_ready_or_left_out_comes_last_but_comes() -> None:
    a, b, c = members("a", "b", "c")
    a.provider.ready = False
    b.breaker.failed("unavailable")

    assert order(Candidates([a, b, c])) == ["c", "a", "b"]


def test_it_is_decided_when_the_next_one_is_needed() -> None:
    a, b, c = members("a", "b", "c")
    candidates = Candidates([a, b, c])
    candidates.next()
    b.provider.ready = False

    assert order(candidates) == ["c", "b"]


def test_only_a_healthy_one_is_a_reason_to_lose_patience() -> None:
    a, b = members("a", "b")
    candidates = Candidates([a, b])
    candidates.next()
    assert candidates.replaceable

    b.breaker.failed("timeout")
    assert not candidates.replaceable


def test_a_takeover_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    a, b = members("a", "b")
    labels = {"stage": "asr", "from": "a", "to": "b", "reason": "unavailable"}
    before = REGISTRY.get_sample_value("oavc_provider_takeovers_total", labels) or 0

    note_takeover("asr", ProviderUnavailable("a", "gone"), a, b)

    assert REGISTRY.get_sample_value("oavc_provider_takeovers_total", labels) == before + 1
    [record] = caplog.records
    assert (vars(record)["failed"], vars(record)["provider"], vars(record)["reason"]) == ("a", "b", "unavailable")
