"""Whole calls: the stand-in, real sockets, and a connector that plays tones."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
import pytest

from tests.tools.caller.scripted_connector import Behaviour, Call, ScriptedConnector, tone
from tools.caller import timing
from tools.caller.caller import CallRecord, play_call
from tools.caller.judge import hear_answers, hear_greeting, judge
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.recorder import Recording
from tools.caller.script import parse_script
from tools.caller.sip_line import SipLine
from tools.caller.wire import Wire

QUESTION = b"".join(tone(300, 200))
HANG_UP = '\n[[step]]\ndo = "hang_up"\n'
LISTEN = '\n[[step]]\ndo = "listen"\nquiet_ms = 220\n'
# Words of the fake transcriber for each tone of the connector's.
MEANINGS = {400: "Hello.", 500: "We open at nine.", 600: "It is eleven dollars.", 700: "Paris.", 800: "Goodbye."}


def say(text: str = "Hm?", **more: object) -> str:
    settings = {"quiet_ms": 220, "within_s": 3} | more
    lines = [f"{key} = {value if not isinstance(value, str) else repr(value)}" for key, value in settings.items()]
    return "\n".join(["", "[[step]]", 'do = "say"', f'text = "{text}"', *lines, ""])


def by_tone(samples: npt.NDArray[np.int16]) -> str:
    """Names the strongest tone, as a transcriber names words."""
    if len(samples) < 400 or not samples.any():
        return ""
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    strongest_hz = float(np.fft.rfftfreq(len(samples), 1 / 8000)[int(np.argmax(spectrum))])
    return next((words for hertz, words in MEANINGS.items() if abs(hertz - strongest_hz) < 30), "")


@asynccontextmanager
async def line(behaviour: Behaviour) -> AsyncIterator[tuple[OpenSipsStandIn, Wire, ScriptedConnector]]:
    opensips = OpenSipsStandIn()
    await opensips.start()
    try:
        async with ScriptedConnector(opensips.mi_port, behaviour) as connector:
            await opensips.wait_subscribed()
            with Wire() as wire:
                yield opensips, wire, connector
    finally:
        await opensips.stop()


async def play(text: str, behaviour: Behaviour | None = None) -> tuple[CallRecord, Call]:
    async with line(behaviour or Behaviour()) as (opensips, wire, connector):
        script = parse_script(text)
        record = await play_call(SipLine(opensips, wire), script, [QUESTION] * len(script.says))
        await opensips.settled()
        assert opensips.violations == []
        return record, connector.finished[0]


async def test_question_is_asked_answered_recorded_and_judged() -> None:
    script = LISTEN + say(expect="9", within_s=3) + say("How much?", expect="11 dollars") + HANG_UP
    record, call = await play(script)
    trace = record.trace

    assert (record.status, record.ended_by, record.failures) == (200, "caller", [])
    recording = Recording(trace)
    greeting = hear_greeting(trace, recording, by_tone)
    answers = hear_answers(trace, recording, 2, by_tone)
    assert greeting == "Hello."
    assert [answer.text for answer in answers] == ["We open at nine.", "It is eleven dollars."]
    assert judge(record.script, answers, greeting, [None, None]) == []
    # The connector noted when it heard the last of the question and when it began to answer.
    for place, answer in enumerate(answers):
        answered_ns = call.answered_ns[place]
        own_ms = (answered_ns - max(at for at in call.heard_last_ns if at < answered_ns)) / 1e6
        assert answer.voice_to_voice_ms == pytest.approx(own_ms, abs=25)


async def test_set_up_and_greeting_are_timed() -> None:
    record, _ = await play(LISTEN + HANG_UP)
    timed = timing.setup(record.trace)
    assert timed.reply_ms is not None
    assert timed.first_packet_ms is not None
    assert timed.greeting_ms is not None
    assert 0 < timed.reply_ms < 500
    assert 0 < timed.first_packet_ms <= timed.greeting_ms < 500


async def test_agent_that_is_interrupted_is_timed_to_its_last_audible_packet() -> None:
    script = LISTEN + say(interrupt_after_ms=300) + say() + HANG_UP
    record, call = await play(script, Behaviour(answer_ms=2000, stop_after_frames=6))
    trace = record.trace
    silence_ms = timing.onset_to_silence_ms(trace, 1)
    onset_ns = trace.onset_ns(1)
    assert silence_ms is not None
    assert onset_ns is not None
    assert silence_ms == pytest.approx((call.silent_ns[0] - onset_ns) / 1e6, abs=40)
    assert 60 <= silence_ms <= 400
    began_ns = timing.answer_began_ns(trace, 0)
    assert began_ns is not None
    assert (onset_ns - began_ns) / 1e6 == pytest.approx(300, abs=80)


async def test_wrong_answer_is_named() -> None:
    record, _ = await play(LISTEN + say("When do you open?", expect="ten") + HANG_UP)
    recording = Recording(record.trace)
    answers = hear_answers(record.trace, recording, 1, by_tone)
    assert judge(record.script, answers, "", ["model"]) == [
        "'When do you open?': the answer lacks 'ten': heard 'We open at nine.'"
    ]


async def test_unanswered_question_is_named() -> None:
    record, _ = await play(LISTEN + say(within_s=0.5) + HANG_UP, Behaviour(answer_after_frames=10_000))
    answers = hear_answers(record.trace, Recording(record.trace), 1, by_tone)
    assert judge(record.script, answers, "", [None]) == ["'Hm?' was not answered"]


async def test_keys_go_out_as_telephone_events_and_as_info() -> None:
    script = LISTEN + '[[step]]\ndo = "press"\ndigits = "12#"\n[[step]]\ndo = "press"\ndigits = "5"\nby = "info"\n'
    record, call = await play(script + '[[step]]\ndo = "wait"\nfor_ms = 100\n' + HANG_UP)
    assert record.failures == []
    assert call.digits == "12#"
    assert call.info == ["Signal=5\r\nDuration=160\r\n"]
    events = [packet for packet in call.received if packet.payload_type == 101]
    assert len({packet.timestamp for packet in events}) == 3
    assert sum(packet.payload[1] >= 0x80 for packet in events) == 9


async def test_keys_need_a_telephone_event_in_the_answer() -> None:
    script = LISTEN + '[[step]]\ndo = "press"\ndigits = "1"\n' + HANG_UP
    record, _ = await play(script, Behaviour(telephone_event=False))
    assert record.failures == ["step 2: the answer has no telephone-event"]


async def test_inactive_hold_stops_the_caller_and_its_clock_runs_on() -> None:
    script = LISTEN + '[[step]]\ndo = "hold"\nfor_ms = 400\ndirection = "inactive"\n' + say() + HANG_UP
    record, call = await play(script)
    assert record.failures == []
    steps = [(later.timestamp - earlier.timestamp) % 2**32 for earlier, later in itertools.pairwise(call.received)]
    gaps = [step for step in steps if step != 160]
    assert len(gaps) == 1
    assert gaps[0] == pytest.approx(3200, abs=480)
    numbers = [packet.sequence_number for packet in call.received]
    assert all((later - earlier) % 65536 == 1 for earlier, later in itertools.pairwise(numbers))


async def test_refused_call_is_a_failure() -> None:
    record, _ = await play(LISTEN + HANG_UP, Behaviour(status=503))
    assert (record.status, record.ended_by) == (503, "")
    assert record.failures == ["the call was refused: 503 Refused"]


async def test_connector_that_never_replies_is_a_failure() -> None:
    record, _ = await play("answer_within_s = 0.3\n" + LISTEN + HANG_UP, Behaviour(replies_to_invite=False))
    assert record.failures == ["no final reply to the INVITE within 0.3 s"]


async def test_agent_may_end_a_call_that_the_script_leaves_open() -> None:
    record, _ = await play(LISTEN + say(), Behaviour(hangs_up_after_answers=1))
    assert (record.ended_by, record.failures) == ("agent", [])


async def test_agent_that_hangs_up_too_early_is_a_failure() -> None:
    script = LISTEN + say() + '[[step]]\ndo = "wait"\nfor_ms = 3000\n' + HANG_UP
    record, _ = await play(script, Behaviour(hangs_up_after_answers=1))
    assert record.ended_by == "agent"
    assert record.failures == ["the agent ended the call at step 2 of 4"]


async def test_agent_that_stays_silent_is_a_failure() -> None:
    record, _ = await play('[[step]]\ndo = "listen"\nwithin_s = 0.4\n' + HANG_UP, Behaviour(greeting_ms=0))
    assert record.failures == ["the agent said nothing within 0.4 s"]


async def test_sequence_and_timestamp_wrap_in_mid_call() -> None:
    near_the_end = "first_sequence_number = 65530\nfirst_timestamp = 4294967000\n"
    record, call = await play(near_the_end + LISTEN + say() + HANG_UP)
    assert record.failures == []
    assert {65535, 0} <= {packet.sequence_number for packet in call.received}
    assert min(packet.timestamp for packet in call.received) < 160


async def test_impairments_reach_the_connector_and_the_recording_keeps_what_was_said() -> None:
    network = "[network]\nseed = 7\nloss_percent = 10\nduplicate_percent = 10\njitter_ms = 15\nnoise_dbfs = -55\n"
    record, call = await play(network + LISTEN + say() + HANG_UP)
    lost = [packet for packet in record.trace.sent if not packet.delivered]
    assert lost
    distinct = {packet.sequence_number for packet in call.received}
    # What left in the last moments may be on its way still when the connector closes its port.
    assert len(record.trace.sent) - len(lost) - len(distinct) in range(4)
    assert len(call.received) > len(distinct)
    assert len(Recording(record.trace).caller) == pytest.approx(160 * len(record.trace.sent), abs=320)


async def test_five_calls_at_once_each_hear_their_own_answers() -> None:
    async with line(Behaviour()) as (opensips, wire, connector):
        script = parse_script(LISTEN + say(expect="nine") + HANG_UP)
        records = await asyncio.gather(
            *(
                play_call(SipLine(opensips, wire), script, [QUESTION], caller=f"555{number}", stream=number)
                for number in range(5)
            )
        )
        await opensips.settled()
    assert [record.failures for record in records] == [[]] * 5
    assert {record.caller for record in records} == {"5550", "5551", "5552", "5553", "5554"}
    assert len(connector.finished) == 5
    for record in records:
        answers = hear_answers(record.trace, Recording(record.trace), 1, by_tone)
        assert judge(script, answers, "", [None]) == []
        assert timing.rtp_quality(record.trace).lost == 0


async def test_phone_sends_at_an_even_pace() -> None:
    record, _ = await play(LISTEN + say() + HANG_UP)
    times = [packet.at_ns for packet in record.trace.sent]
    gaps_ms = [(later - earlier) / 1e6 for earlier, later in itertools.pairwise(times)]
    median = timing.percentile(gaps_ms, 50)
    assert median == pytest.approx(20, abs=1)
