"""Which calls are placed and which are refused, with which answer, on a clock that the test holds."""

import asyncio
import logging
from contextlib import ExitStack
from typing import Any

import pytest

from core.calls.outbound import MAX_PARAMETERS, MAX_PARAMETERS_BYTES, OutboundCalls, OutboundResult
from core.calls.registry import CallRegistry
from core.calls.settings import CallSettings, OutboundSettings
from core.errors import OutboundRefused, SignallingError, SignallingRefused, SignallingTimeout
from core.observability import metrics
from services.common.settings import ConfigurationError, load
from tests.core.calls.conftest import leg
from tests.core.calls.switchboard import Switchboard

OURS = "+4930999999"
NUMBER, OTHER, THIRD = "+4930123456", "+4930123457", "+4930123458"
ALLOW = (r"\+4930[0-9]{6}", r"sip:[a-z]+@example\.com")


class Office:
    """The guard with everything around it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.registry = CallRegistry(CallSettings(max_concurrent_sessions=5), lambda: 0.0)
        self.switchboard = Switchboard()
        self.calls = ExitStack()
        self.configure()

    def configure(self, **settings: Any) -> None:
        limits = {"enabled": True, "transport": "switchboard", "caller": OURS, "allow": ALLOW, "max_concurrent": 10}
        self.outbound = OutboundCalls(
            OutboundSettings.model_validate(limits | settings),
            {"switchboard": self.switchboard},
            self.registry,
            lambda: self.now_s,
        )

    async def refused(self, called: str = NUMBER, **parameters: str) -> OutboundRefused:
        with pytest.raises(OutboundRefused) as refusal:
            await self.outbound.place(called, parameters)
        return refusal.value


@pytest.fixture
async def office() -> Office:
    return Office()


def outcomes(outcome: str) -> float:
    value = metrics.OUTBOUND_CALLS.labels("switchboard", outcome)._value.get()
    assert isinstance(value, float)
    return value


async def test_an_allowed_call_is_placed_from_our_number(office: Office) -> None:
    before = outcomes("placed")
    placed = await office.outbound.place(" +49 30 123-456", {"order_id": "17"})
    assert placed == OutboundResult("placed-1", "switchboard")
    assert office.switchboard.placed == [(NUMBER, OURS, {"order_id": "17"})]
    assert outcomes("placed") == before + 1


async def test_nothing_is_placed_unless_enabled(office: Office) -> None:
    office.configure(enabled=False)
    assert (await office.refused()).http_status == 403
    assert office.switchboard.placed == []


async def test_with_an_empty_list_nothing_is_allowed(office: Office) -> None:
    office.configure(allow=())
    assert (await office.refused()).http_status == 403


@pytest.mark.parametrize(
    "called",
    [
        # More digits than the pattern, a prefix more, another country, a premium number.
        "+49301234567",
        "+149301234",
        "+19005551234",
        "sip:alice@example.com.evil.example",
        "sip:alice@exampleXcom",
        "sips:alice@example.com",
    ],
)
async def test_what_a_pattern_matches_in_part_only_is_not_allowed(office: Office, called: str) -> None:
    assert (await office.refused(called)).http_status == 403
    assert office.switchboard.placed == []


@pytest.mark.parametrize("called", ["", "112", "030123456", "call me", "+4930123456;phone-context=x"])
async def test_what_is_no_number_is_refused_even_if_everything_is_allowed(office: Office, called: str) -> None:
    office.configure(allow=(".*",))
    assert (await office.refused(called)).http_status == 400


@pytest.mark.parametrize(
    "parameters",
    [
        {f"p{n}": "x" for n in range(MAX_PARAMETERS + 1)},
        {"p": "x" * MAX_PARAMETERS_BYTES},
        {"": "x"},
        {"a b": "x"},
        {"a": "line\nbreak"},
        {"a": "\ud800"},
        {"\ud800": "a"},
    ],
)
async def test_parameters_are_few_small_and_printable(office: Office, parameters: dict[str, str]) -> None:
    assert (await office.refused(NUMBER, **parameters)).http_status == 400
    assert office.switchboard.placed == []


async def test_a_number_that_rings_is_not_called_again(office: Office) -> None:
    await office.outbound.place(NUMBER, {})
    assert (await office.refused()).http_status == 409
    await office.outbound.place(OTHER, {})


async def test_calls_at_a_time_are_limited_while_they_are_still_being_placed(office: Office) -> None:
    office.configure(max_concurrent=2)
    office.switchboard.answering.clear()
    async with asyncio.TaskGroup() as group:
        for number in (NUMBER, OTHER):
            group.create_task(office.outbound.place(number, {}))
        await asyncio.sleep(0)
        refusal = await office.refused(THIRD)
        office.switchboard.answering.set()
    assert (refusal.http_status, refusal.retry_after_s) == (429, 10)
    assert len(office.switchboard.placed) == 2


async def test_a_place_is_free_again_once_the_call_has_ended(office: Office) -> None:
    office.configure(max_concurrent=1)
    placed = await office.outbound.place(NUMBER, {})
    with office.registry.admitted(leg(call_id=placed.call_id)) as call:
        office.now_s += 1000
        # Long after it would have counted as unanswered: it talks.
        assert (await office.refused(OTHER)).http_status == 429
        call.record.ended_at = 1.0
    await office.outbound.place(OTHER, {})


async def test_a_place_is_free_again_though_the_call_is_forgotten(office: Office) -> None:
    office.registry = CallRegistry(CallSettings(call_history=0), lambda: 0.0)
    office.configure(max_concurrent=1)
    placed = await office.outbound.place(NUMBER, {})
    with office.registry.admitted(leg(call_id=placed.call_id)):
        assert (await office.refused(OTHER)).http_status == 429
    await office.outbound.place(OTHER, {})


async def test_a_call_that_is_not_answered_gives_its_place_back(office: Office) -> None:
    office.configure(max_concurrent=1, unanswered_after_s=60)
    await office.outbound.place(NUMBER, {})
    office.now_s += 59
    assert (await office.refused(OTHER)).http_status == 429
    office.now_s += 1
    await office.outbound.place(OTHER, {})


async def test_a_phone_that_is_busy_gives_the_place_back_at_once(office: Office) -> None:
    office.configure(max_concurrent=1)
    placed = await office.outbound.place(NUMBER, {})
    office.outbound.call_over("somebody else's")
    assert (await office.refused(OTHER)).http_status == 429
    office.outbound.call_over(placed.call_id)
    await office.outbound.place(OTHER, {})


async def test_calls_per_minute_are_limited_and_the_answer_says_how_long(office: Office) -> None:
    office.configure(max_per_minute=2)
    await office.outbound.place(NUMBER, {})
    office.now_s += 20.5
    await office.outbound.place(OTHER, {})
    refusal = await office.refused(THIRD)
    assert (refusal.http_status, refusal.retry_after_s) == (429, 40)
    office.now_s += 40
    await office.outbound.place(THIRD, {})


async def test_one_number_is_called_so_often_an_hour(office: Office) -> None:
    office.configure(max_per_hour_to_one=1, unanswered_after_s=1)
    await office.outbound.place(NUMBER, {})
    office.now_s += 100
    assert (await office.refused("+49-30-123456")).retry_after_s == 3500
    await office.outbound.place(OTHER, {})


async def test_refused_calls_do_not_use_up_the_rate(office: Office) -> None:
    office.configure(max_per_minute=1)
    for _ in range(5):
        await office.refused("+19005551234")
    await office.outbound.place(NUMBER, {})


async def test_a_process_that_is_full_or_ending_places_none(office: Office) -> None:
    office.registry.draining = True
    refusal = await office.refused()
    assert (refusal.http_status, refusal.retry_after_s) == (503, 30)
    assert office.switchboard.placed == []


@pytest.mark.parametrize(
    ("failure", "http_status", "status_of_the_next"),
    [
        (ValueError("no SIP here"), 400, 400),
        (SignallingRefused("place", 21211, "no such number"), 502, 502),
        # Whether the phone rings is not known: as far as we know it does.
        (SignallingError("not reached"), 502, 409),
        (SignallingTimeout("no answer"), 504, 409),
    ],
)
async def test_a_failure_of_the_transport_is_told(
    office: Office, failure: Exception, http_status: int, status_of_the_next: int
) -> None:
    office.switchboard.failure = failure
    assert (await office.refused()).http_status == http_status
    assert (await office.refused()).http_status == status_of_the_next


async def test_the_call_of_a_cancelled_request_keeps_its_place(office: Office) -> None:
    office.switchboard.answering.clear()
    placing = asyncio.create_task(office.outbound.place(NUMBER, {}))
    await asyncio.sleep(0)
    placing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await placing
    assert (await office.refused()).http_status == 409


async def test_each_call_leaves_a_line_without_its_number(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    before = outcomes("403")
    with caplog.at_level(logging.INFO):
        await office.outbound.place(NUMBER, {"pin": "1234"})
        await office.refused("+19005551234")
        await office.refused("no number, but a secret")
    lines = [(each.levelname, each.message, each.__dict__["to"]) for each in caplog.records if "to" in each.__dict__]
    assert lines == [
        ("INFO", "outbound call placed", "+49******56"),
        ("WARNING", "outbound call refused", "+19*******34"),
        ("WARNING", "outbound call refused", ""),
    ]
    assert "1234" not in str([each.__dict__ for each in caplog.records])
    assert outcomes("403") == before + 1


def test_the_transport_must_be_able_to_place_calls() -> None:
    settings = OutboundSettings(enabled=True, transport="opensips", caller=OURS)
    registry = CallRegistry(CallSettings(), lambda: 0.0)
    with pytest.raises(ConfigurationError, match=r"outbound\.transport: 'opensips' cannot.*switchboard can"):
        OutboundCalls(settings, {"switchboard": Switchboard()}, registry)
    # Not needed, and so not asked for.
    OutboundCalls(settings.model_copy(update={"enabled": False}), {}, registry)


def loaded(**section: str) -> OutboundSettings:
    return load([OutboundSettings], {"outbound": section}, {})[OutboundSettings]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"enabled": "true"}, "caller must be set"),
        ({"caller": "12345"}, "outbound.caller: neither"),
        ({"allow": "[0-9"}, "no regular expression"),
        ({"allow": r"\+49[0-9]{6,9}"}, r'cut at a comma: write a JSON list, \["'),
    ],
)
def test_impossible_settings_are_named(section: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        loaded(**section)


def test_patterns_stand_one_a_line_or_in_a_list() -> None:
    patterns = (r"\+49[0-9]{6,9}", r"\+1(?!900)[0-9]{10}")
    assert loaded(allow="\n" + "\n".join(patterns)).allow == patterns
    assert loaded(allow=r'["\\+49[0-9]{6,9}", "\\+1(?!900)[0-9]{10}"]').allow == patterns
