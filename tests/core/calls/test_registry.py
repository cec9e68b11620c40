"""Who is admitted, who is remembered, and when none is left."""

import asyncio

import pytest

from core.calls.registry import CallRegistry
from core.calls.settings import CallSettings
from core.errors import Busy, Draining
from core.leg import EndReason, LegEnded
from core.observability import metrics
from tests.core.calls.conftest import leg


def registry(resident_mb: float = 0.0, **limits: int) -> CallRegistry:
    return CallRegistry(CallSettings.model_validate(limits), lambda: resident_mb)


async def test_calls_are_admitted_up_to_the_limit_and_again_when_one_has_ended() -> None:
    calls = registry(max_concurrent_sessions=2)
    with calls.admitted(leg(call_id="1")):
        assert calls.accepts
        with calls.admitted(leg(call_id="2")):
            assert not calls.accepts
            with pytest.raises(Busy) as refused, calls.admitted(leg(call_id="3")):
                pass
            assert (refused.value.sip_status, refused.value.retry_after_s) == (503, 10)
            assert [call.record.call_id for call in calls.active] == ["1", "2"]
        with calls.admitted(leg(call_id="3")):
            assert len(calls.active) == 2
    assert calls.active == []


async def test_a_refused_call_is_not_remembered() -> None:
    calls = registry(max_concurrent_sessions=1)
    with calls.admitted(leg(call_id="1")), pytest.raises(Busy), calls.admitted(leg(call_id="2")):
        pass
    assert calls.record("2") is None
    assert [record.call_id for record in calls.recent(10)] == ["1"]


async def test_draining_refuses_and_leaves_what_is_up() -> None:
    calls = registry()
    with calls.admitted(leg(call_id="1")):
        calls.draining = True
        assert not calls.accepts
        with pytest.raises(Draining), calls.admitted(leg(call_id="2")):
            pass
        assert calls.find("1") is not None


async def test_memory_above_the_limit_refuses_further_calls_but_not_the_only_one() -> None:
    calls = registry(resident_mb=600, memory_limit_mb=512)
    with calls.admitted(leg(call_id="1")), pytest.raises(Busy, match="memory"), calls.admitted(leg(call_id="2")):
        pass


async def test_memory_at_the_limit_refuses_nobody() -> None:
    calls = registry(resident_mb=512, memory_limit_mb=512)
    with calls.admitted(leg(call_id="1")), calls.admitted(leg(call_id="2")):
        assert len(calls.active) == 2


async def test_history_keeps_the_latest_calls_only() -> None:
    calls = registry(call_history=2)
    for call_id in "123":
        with calls.admitted(leg(call_id=call_id)):
            pass
    assert [record.call_id for record in calls.recent(10)] == ["3", "2"]
    assert [record.call_id for record in calls.recent(1)] == ["3"]
    assert calls.record("1") is None


async def test_no_history_at_all_is_possible() -> None:
    calls = registry(call_history=0)
    with calls.admitted(leg(call_id="1")):
        assert calls.record("1") is not None
    assert calls.record("1") is None
    assert calls.recent(10) == []


async def test_none_left_returns_when_the_last_call_has_ended() -> None:
    calls = registry()
    await asyncio.wait_for(calls.none_left(), 1)
    with calls.admitted(leg(call_id="1")):
        with calls.admitted(leg(call_id="2")):
            waiting = asyncio.create_task(calls.none_left())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)


async def test_a_place_is_given_back_however_the_call_ends() -> None:
    calls = registry(max_concurrent_sessions=1)
    with pytest.raises(ZeroDivisionError), calls.admitted(leg(call_id="1")):
        raise ZeroDivisionError
    assert calls.accepts


async def test_hang_up_all_ends_every_call() -> None:
    calls = registry()
    one, two = leg(call_id="1"), leg(call_id="2")
    with calls.admitted(one), calls.admitted(two):
        await calls.hang_up_all(EndReason.DRAINED)
    assert await one.receive() == await two.receive() == LegEnded(EndReason.DRAINED)


async def test_the_number_of_active_calls_is_a_metric() -> None:
    def shown() -> float:
        [family] = metrics.ACTIVE_CALLS.collect()
        return family.samples[0].value

    calls = registry()
    with calls.admitted(leg(call_id="1")):
        with calls.admitted(leg(call_id="2")):
            assert shown() == 2
        assert shown() == 1
    assert shown() == 0
