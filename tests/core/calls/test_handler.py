"""One call from offer to end: refused, answered, given up, timed out, broken; and the line that sums it up."""

import asyncio
import dataclasses
import logging

import pytest
from prometheus_client import REGISTRY

from core.dialogue.dialogue import Dialogue
from core.errors import PortsExhausted, SignallingTimeout
from core.leg import EndReason, LegEnded, LegStatistics
from core.providers.base import Providers
from core.providers.pool import Lease
from core.transports.loopback import LoopbackLeg
from services.common import correlation
from tests.core.calls.conftest import NotingGenerator, Office, leg, until


def summaries(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == "call ended"]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_caller_is_answered_greeted_and_may_hang_up(office: Office) -> None:
    await office.open()
    caller = await office.connected()
    await office.greeted(caller)
    caller.hang_up()
    await office.registry.none_left()
    record = office.record_of(caller)
    assert record.end_reason == "caller_hung_up"
    assert record.ended_at is not None
    assert record.media["packets_received"] > 0
    assert max(caller.heard) > 0


async def test_a_call_beyond_the_limit_is_rejected_as_busy(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.configure(max_concurrent_sessions=1)
    await office.open()
    refused = counted("oavc_calls_refused_total", transport="loopback", status="503")
    first = await office.connected()
    second = office.transport.call()
    assert await second.answered() == 503
    assert counted("oavc_calls_refused_total", transport="loopback", status="503") == refused + 1
    [record] = [record for record in caplog.records if record.getMessage() == "call refused"]
    assert (record.__dict__["status"], record.__dict__["reason"]) == (503, "All lines are busy")
    first.hang_up()
    await office.registry.none_left()
    await office.connected()


async def test_a_draining_process_rejects_new_calls_and_keeps_the_old(office: Office) -> None:
    await office.open()
    first = await office.connected()
    office.registry.draining = True
    assert await office.transport.call().answered() == 503
    assert first.leg.up


async def test_a_caller_who_gave_up_before_the_answer(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caller = office.transport.call()
    caller.hang_up()
    await office.open()
    await until(lambda: summaries(caplog))
    assert summaries(caplog)[0].__dict__["reason"] == "caller_cancelled"
    assert office.record_of(caller).end_reason == "caller_cancelled"
    assert office.generator.warmed == []


class UnansweredLeg(LoopbackLeg):
    """OpenSIPS does not take the answer."""

    async def answer(self) -> None:
        raise SignallingTimeout("ua_session_reply: no answer")


async def test_an_answer_that_opensips_does_not_take_ends_the_call(office: Office) -> None:
    unanswered = leg(UnansweredLeg)
    await office.runner.handle(unanswered)
    assert await unanswered.receive() == LegEnded(EndReason.SIGNALLING_LOST)
    record = office.registry.record("call-1")
    assert record is not None
    assert record.end_reason == "signalling_lost"


class PortlessLeg(LoopbackLeg):
    """No port is left for its media."""

    async def answer(self) -> None:
        raise PortsExhausted


async def test_a_call_that_cannot_be_answered_is_refused_and_ends_in_the_history(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    portless = leg(PortlessLeg)
    await office.runner.handle(portless)
    assert await portless.outcome == 503
    record = office.registry.record("call-1")
    assert record is not None
    assert record.end_reason == "refused"
    assert record.ended_at is not None
    assert summaries(caplog) == []


async def test_a_call_that_lasts_too_long_hears_goodbye_and_is_ended(office: Office) -> None:
    office.configure(session_timeout_minutes=0.6 / 60)
    await office.open()
    ended = counted("oavc_calls_total", transport="loopback", reason="session_timeout")
    caller = await office.connected()
    async with asyncio.timeout(10):
        await office.registry.none_left()
    assert office.record_of(caller).end_reason == "session_timeout"
    assert counted("oavc_calls_total", transport="loopback", reason="session_timeout") == ended + 1
    goodbye = office.phrases.get(office.dialogue.goodbye_message, 8000)
    assert goodbye is not None
    assert goodbye in caller.heard


async def test_a_goodbye_that_was_never_rendered_is_left_out(office: Office) -> None:
    office.configure(session_timeout_minutes=0.1 / 60)
    office.serving = asyncio.create_task(office.transport.run(office.runner.handle))
    caller = await office.connected()
    async with asyncio.timeout(10):
        await office.registry.none_left()
    assert office.record_of(caller).end_reason == "session_timeout"


async def test_an_error_in_a_conversation_ends_that_call_only(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await office.open()
    well = await office.connected()
    make, office.make_dialogue = office.make_dialogue, _broken_dialogue
    broken = await office.connected()
    await until(lambda: summaries(caplog))
    office.make_dialogue = make
    summary = summaries(caplog)[0].__dict__
    assert (summary["reason"], summary["detail"]) == ("error", "ZeroDivisionError")
    assert await broken.leg.receive() == LegEnded(EndReason.ERROR)
    await office.greeted(well)
    assert well.leg.up
    assert (await office.connected()).leg.up


def _broken_dialogue() -> Dialogue:
    raise ZeroDivisionError


class SlowLeg(LoopbackLeg):
    """Keeps the conversation waiting for too long, once."""

    slow = True

    @property
    def sample_rate_hz(self) -> int:
        if self.slow:
            self.slow = False
            raise TimeoutError("a peer was slow")
        return super().sample_rate_hz


async def test_a_timeout_within_a_conversation_is_an_error_not_the_end_of_the_time_allowed(office: Office) -> None:
    slow = leg(SlowLeg)
    await office.runner.handle(slow)
    assert await slow.receive() == LegEnded(EndReason.ERROR)


async def test_cancelling_a_call_hangs_up_and_sums_up(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await office.open()
    caller = await office.connected()
    await office.greeted(caller)
    await office.close()
    [summary] = summaries(caplog)
    assert summary.__dict__["reason"] == "drained"
    assert office.generator.ended == [caller.leg.info.call_id]


async def test_the_models_session_is_warmed_and_ended_once(office: Office) -> None:
    await office.open()
    caller = await office.connected()
    await office.greeted(caller)
    caller.hang_up()
    await office.registry.none_left()
    assert office.generator.warmed == office.generator.ended == [caller.leg.info.call_id]


async def test_every_record_of_a_call_names_it_and_none_afterwards(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    class NotingLeg(LoopbackLeg):
        async def answer(self) -> None:
            seen.append(correlation.call_id.get())
            raise PortsExhausted

    await office.runner.handle(leg(NotingLeg, "call-7"))
    assert seen == ["call-7"]
    assert correlation.call_id.get() == ""


class CountedLeg(LoopbackLeg):
    """Lost some packets."""

    def statistics(self) -> LegStatistics:
        return LegStatistics(packets_sent=90, packets_received=95, packets_lost=5, jitter_ms=1.2345, mos=4.1)


async def test_the_summary_has_figures_and_nothing_that_was_said(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await office.open()
    caller = await office.connected()
    await office.greeted(caller)
    caller.press("4711#")
    await until(lambda: len(office.record_of(caller).turns) > 1 and office.record_of(caller).turns[1].spoken)
    office.record_of(caller).begin_turn(heard="my secret", silent_since_s=1.0, started_s=1.5, interrupted=True)
    office.record_of(caller).begin_turn(heard="my secret", silent_since_s=1.0, started_s=1.8)
    caller.hang_up()
    await office.registry.none_left()
    [summary] = summaries(caplog)
    fields = summary.__dict__
    assert fields["reason"] == "caller_hung_up"
    assert 0 < fields["duration_s"] < 20
    assert (fields["turns"], fields["interrupted"]) == (2, 1)
    assert (fields["voice_to_voice_p50_ms"], fields["voice_to_voice_max_ms"]) == (800, 800)
    assert {"packets_sent", "packets_received", "packets_lost", "jitter_ms", "mos"} <= fields.keys()
    spoken = {turn.said for turn in office.record_of(caller).turns if turn.said}
    assert len(spoken) >= 2
    for record in caplog.records:
        shown = f"{record.getMessage()} {[value for value in record.__dict__.values() if isinstance(value, str)]}"
        assert not [text for text in (*spoken, "4711", "my secret") if text in shown], shown


async def test_media_is_counted_and_summed_up(office: Office) -> None:
    lost = counted("oavc_rtp_packets_lost_total")
    counted_leg = leg(CountedLeg)
    office.make_dialogue = _broken_dialogue
    await office.runner.handle(counted_leg)
    record = office.registry.record("call-1")
    assert record is not None
    assert record.media["packets_lost"] == 5
    assert record.media["jitter_ms"] == 1.23
    assert counted("oavc_rtp_packets_lost_total") == lost + 5


async def test_a_call_without_an_answered_turn_has_no_waiting_time(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    office.make_dialogue = _broken_dialogue
    await office.runner.handle(leg())
    [summary] = summaries(caplog)
    assert summary.__dict__["voice_to_voice_p50_ms"] is None
    assert summary.__dict__["turns"] == 0


async def test_each_call_is_answered_by_its_own_agent_to_the_end(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await office.open()
    first = await office.connected()
    generator = NotingGenerator()
    providers = dataclasses.replace(office.agent.conversations.providers, generator=generator)
    office.agent = dataclasses.replace(
        office.agent,
        name="sales",
        conversations=dataclasses.replace(office.agent.conversations, providers=providers),
    )
    second = await office.connected()
    for caller in (first, second):
        await office.greeted(caller)
        caller.hang_up()
    await office.registry.none_left()
    assert (office.generator.ended, generator.ended) == ([first.leg.info.call_id], [second.leg.info.call_id])
    assert [office.record_of(caller).agent for caller in (first, second)] == ["default", "sales"]
    assert sorted(summary.__dict__["agent"] for summary in summaries(caplog)) == ["default", "sales"]
    assert office.record_of(second).as_json()["providers"] == {"asr": "scripted", "llm": "scripted", "tts": "scripted"}


class CountedLease(Lease):
    """Knows how many calls share it, and what was still to be done when they left."""

    def __init__(self, providers: Providers, generator: NotingGenerator) -> None:
        super().__init__(providers)
        self.generator = generator
        self.shares = 0
        self.ended_before_release: list[int] = []

    def share(self) -> "CountedLease":
        self.shares += 1
        return self

    async def release(self) -> None:
        self.shares -= 1
        self.ended_before_release.append(len(self.generator.ended))


async def test_a_call_holds_its_providers_until_nothing_more_is_asked_of_them(office: Office) -> None:
    lease = CountedLease(office.agent.conversations.providers, office.generator)
    office.agent = dataclasses.replace(office.agent, lease=lease)
    await office.open()
    callers = [await office.connected() for _ in range(2)]
    assert lease.shares == 2
    for caller in callers:
        caller.hang_up()
    await office.registry.none_left()
    assert lease.shares == 0
    assert lease.ended_before_release[-1] == 2


async def test_a_call_that_is_refused_or_fails_holds_nothing_afterwards(office: Office) -> None:
    lease = CountedLease(office.agent.conversations.providers, office.generator)
    office.agent = dataclasses.replace(office.agent, lease=lease)
    for kind in (PortlessLeg, UnansweredLeg):
        await office.runner.handle(leg(kind, kind.__name__))
        assert lease.shares == 0
    office.make_dialogue = _broken_dialogue
    await office.runner.handle(leg())
    assert (lease.shares, len(lease.ended_before_release)) == (0, 3)
