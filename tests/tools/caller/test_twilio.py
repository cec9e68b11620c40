"""Whole calls by way of Twilio: the stand-in, real sockets, and an agent that plays tones."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.tools.caller.scripted_agent import AgentCall, ScriptedAgent, until
from tests.tools.caller.scripted_connector import Behaviour, tone
from tests.tools.caller.test_caller import HANG_UP, LISTEN, QUESTION, by_tone, say
from tests.tools.caller.test_caller import line as sip_line
from tools.caller import timing
from tools.caller.batch import play_calls
from tools.caller.caller import CallRecord, play_call
from tools.caller.judge import hear_answers, hear_greeting, judge
from tools.caller.line import Line
from tools.caller.recorder import Recording
from tools.caller.script import parse_script
from tools.caller.sip_line import SipLine
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_line import TwilioLine

WAIT = '\n[[step]]\ndo = "wait"\nfor_ms = {}\n'


@asynccontextmanager
async def line(agent: ScriptedAgent) -> AsyncIterator[tuple[TwilioStandIn, TwilioLine]]:
    async with agent, TwilioStandIn() as twilio:
        with StreamWire() as wire:
            yield twilio, TwilioLine(twilio, wire, agent.address)


async def play(text: str, agent: ScriptedAgent | Behaviour | None = None) -> tuple[CallRecord, ScriptedAgent]:
    agent = agent if isinstance(agent, ScriptedAgent) else ScriptedAgent(agent)
    async with line(agent) as (_, twilio_line):
        script = parse_script(text)
        return await play_call(twilio_line, script, [QUESTION] * len(script.says)), agent


def only(agent: ScriptedAgent) -> AgentCall:
    (call,) = agent.calls
    return call


async def test_question_is_asked_answered_recorded_and_judged() -> None:
    script = LISTEN + say(expect="9", within_s=3) + say("How much?", expect="11 dollars") + HANG_UP
    record, agent = await play(script)
    assert (record.transport, record.status, record.ended_by, record.failures) == ("twilio", 200, "caller", [])
    recording = Recording(record.trace)
    greeting = hear_greeting(record.trace, recording, by_tone)
    answers = hear_answers(record.trace, recording, 2, by_tone)
    assert greeting == "Hello."
    assert [answer.text for answer in answers] == ["We open at nine.", "It is eleven dollars."]
    assert judge(record.script, answers, greeting, [None, None]) == []
    call = only(agent)
    for place, answer in enumerate(answers):
        answered_ns = call.answered_ns[place]
        own_ms = (answered_ns - max(at for at in call.heard_last_ns if at < answered_ns)) / 1e6
        assert answer.voice_to_voice_ms == pytest.approx(own_ms, abs=25)


async def test_webhook_says_who_calls_whom_and_the_end_is_told() -> None:
    _, agent = await play('caller = "555"\ncalled = "777"\n' + LISTEN + HANG_UP)
    (webhook,) = agent.webhooks
    assert (webhook["From"], webhook["To"], webhook["Direction"], webhook["CallStatus"]) == (
        "555",
        "777",
        "inbound",
        "ringing",
    )
    assert webhook["CallSid"].startswith("CA")
    assert agent.statuses == ["completed"]


async def test_stream_has_the_messages_of_twilio_in_their_order() -> None:
    script = LISTEN + '[[step]]\ndo = "press"\ndigits = "12#"\n' + say() + HANG_UP
    _, agent = await play(script)
    call = only(agent)
    assert [message["event"] for message in call.messages[:3]] == ["connected", "start", "media"]
    assert call.messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    start = call.messages[1]["start"]
    assert start["callSid"] == agent.webhooks[0]["CallSid"]
    assert start["tracks"] == ["inbound"]
    assert start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert start["customParameters"] == {"a": "b"}
    assert call.messages[-1]["event"] == "stop"
    assert {message["streamSid"] for message in call.messages[1:]} == {start["streamSid"]}
    assert [int(message["sequenceNumber"]) for message in call.messages[1:]] == list(range(1, len(call.messages)))
    media = [message["media"] for message in call.events("media")]
    assert [int(each["chunk"]) for each in media] == list(range(1, len(media) + 1))
    assert [int(each["timestamp"]) for each in media] == [20 * place for place in range(len(media))]
    assert {each["track"] for each in media} == {"inbound"}
    assert call.digits == "12#"


async def test_marks_come_back_when_what_lies_before_them_was_played() -> None:
    _, agent = await play(LISTEN + HANG_UP, Behaviour(greeting_ms=600))
    call = only(agent)
    started_ns, marked_ns = (
        next(at for at, message in zip(call.arrived_ns, call.messages, strict=True) if message["event"] == event)
        for event in ("start", "mark")
    )
    assert (marked_ns - started_ns) / 1e6 == pytest.approx(600, abs=40)


async def test_agent_that_is_interrupted_is_timed_to_the_last_frame_that_was_played() -> None:
    script = LISTEN + say(interrupt_after_ms=300) + say() + HANG_UP
    record, agent = await play(script, Behaviour(answer_ms=1000, stop_after_frames=6))
    silence_ms = timing.onset_to_silence_ms(record.trace, 1)
    onset_ns = record.trace.onset_ns(1)
    assert onset_ns is not None
    # The frame that is being played when it is cleared began up to its length earlier.
    assert silence_ms == pytest.approx((only(agent).cleared_ns[0] - onset_ns) / 1e6 - 10, abs=20)
    began_ns = timing.answer_began_ns(record.trace, 0)
    assert began_ns is not None
    assert (onset_ns - began_ns) / 1e6 == pytest.approx(300, abs=60)
    # The mark of what was dropped came back with it, not when it would have been over.
    names = [message["mark"]["name"] for message in only(agent).events("mark")]
    assert names[:2] == ["greeting", "answer 1"]


async def test_frames_are_heard_without_a_gap_though_they_came_at_once() -> None:
    record, _ = await play(LISTEN + HANG_UP, Behaviour(greeting_ms=500))
    quality = timing.rtp_quality(record.trace)
    assert (quality.received, quality.lost, quality.wrong_timestamp_steps) == (25, 0, 0)
    assert quality.gap_error_max_ms == 0


async def test_rejected_call_is_a_failure() -> None:
    agent = ScriptedAgent()
    agent.twiml = '<Response><Reject reason="busy"/></Response>'
    record, _ = await play(LISTEN + HANG_UP, agent)
    assert (record.status, record.ended_by) == (486, "")
    assert record.failures == ["the call was refused: 486 busy"]
    assert agent.statuses == ["busy"]


@pytest.mark.parametrize(
    ("twiml", "failure"),
    [
        ("<Response/>", "the call was ended at once"),
        ("<Response><Say>Hi</Say></Response>", "the webhook was answered by no TwiML: <Say> is not known here"),
        ('<Response><Connect><Stream url="ws://127.0.0.1/x"/></Connect></Response>', "nothing but https and wss"),
        ('<Response><Connect><Stream url="wss://other.example/x"/></Connect></Response>', "other.example/x is not"),
    ],
)
async def test_answer_that_twilio_would_not_take_is_a_failure(twiml: str, failure: str) -> None:
    agent = ScriptedAgent()
    agent.twiml = twiml
    record, _ = await play(LISTEN + HANG_UP, agent)
    assert failure in record.failures[0]


async def test_webhook_and_stream_that_are_refused_are_failures() -> None:
    agent = ScriptedAgent()
    agent.status = 403
    record, _ = await play(LISTEN + HANG_UP, agent)
    assert record.failures == ["the call was refused: the webhook was answered 403"]
    agent = ScriptedAgent()
    agent.takes_streams = False
    record, _ = await play(LISTEN + HANG_UP, agent)
    assert "the stream was refused: " in record.failures[0]
    assert "403" in record.failures[0]


async def test_agent_that_is_not_there_is_a_failure(unused_tcp_port: int) -> None:
    async with TwilioStandIn() as twilio:
        with StreamWire() as wire:
            nobody = TwilioLine(twilio, wire, AgentAddress(f"http://127.0.0.1:{unused_tcp_port}"))
            record = await play_call(nobody, parse_script(LISTEN + HANG_UP), [])
    assert record.status == 503
    assert "the call was refused" in record.failures[0]


@pytest.mark.parametrize(
    ("address", "webhook", "reached"),
    [
        (
            AgentAddress("http://127.0.0.1:8080"),
            "https://127.0.0.1:8080/twilio/voice",
            "http://127.0.0.1:8080/twilio/voice",
        ),
        (
            AgentAddress("http://127.0.0.1:8080", "https://voice.example/oavc/", "/calls"),
            "https://voice.example/oavc/calls/voice",
            "http://127.0.0.1:8080/calls/voice",
        ),
    ],
)
def test_agent_is_known_by_one_address_and_reached_by_another(
    address: AgentAddress, webhook: str, reached: str
) -> None:
    assert address.webhook("voice") == webhook
    assert address.reached(webhook) == reached
    assert address.reached(webhook.replace("https", "wss")) == reached.replace("http", "ws")
    for wrong in ("http://voice.example/oavc/calls", "https://elsewhere.example/twilio/voice"):
        with pytest.raises(ValueError, match=r"https and wss|is not below"):
            address.reached(wrong)


async def test_calls_by_twilio_and_by_opensips_go_on_at_the_same_time() -> None:
    script = parse_script(LISTEN + say(expect="nine") + HANG_UP)
    async with line(ScriptedAgent()) as (_, twilio_line), sip_line(Behaviour()) as (opensips, wire, _connector):
        lines: tuple[Line, ...] = (twilio_line, SipLine(opensips, wire))
        played = await asyncio.gather(*(play_calls(each, script, [QUESTION], count=5, rate=50) for each in lines))
    for each, records in zip(lines, played, strict=True):
        assert [record.failures for record in records] == [[]] * 5
        assert {record.transport for record in records} == {each.transport}


async def test_agent_that_closes_the_socket_has_ended_the_call() -> None:
    record, agent = await play(LISTEN + say(), Behaviour(hangs_up_after_answers=1))
    assert (record.ended_by, record.failures) == ("agent", [])
    assert agent.statuses == ["completed"]


async def rest(twilio: TwilioStandIn, **params: str) -> int:
    """Changes the only call as the agent would."""
    (sid,) = twilio.calls
    url = f"{twilio.rest.url}/2010-04-01/Accounts/{twilio.account_sid}/Calls/{sid}.json"
    headers = {"Authorization": aiohttp.encode_basic_auth(twilio.account_sid, twilio.auth_token)}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=params) as response:
        return response.status


async def test_agent_ends_a_call_by_the_rest_api() -> None:
    agent = ScriptedAgent()
    async with line(agent) as (twilio, twilio_line):
        playing = asyncio.create_task(play_call(twilio_line, parse_script(LISTEN + WAIT.format(5000)), []))
        await until(lambda: agent.calls and agent.calls[0].events("mark"))
        assert await rest(twilio, Status="completed") == 200
        record = await playing
    assert record.ended_by == "agent"
    assert only(agent).messages[-1]["event"] == "stop"


async def test_agent_presses_keys_and_takes_the_call_back_on_a_new_stream() -> None:
    agent = ScriptedAgent()
    async with line(agent) as (twilio, twilio_line):
        script = parse_script(LISTEN + WAIT.format(1200) + say() + HANG_UP)
        playing = asyncio.create_task(play_call(twilio_line, script, [QUESTION]))
        await until(lambda: agent.calls and agent.calls[0].events("mark"))
        host = agent.address.url.removeprefix("http://")
        stream = f'<Connect><Stream url="wss://{host}/twilio/stream"/></Connect>'
        twiml = f'<Response><Play digits="1w"/>{stream}</Response>'
        assert await rest(twilio, Twiml=twiml) == 200
        record = await playing
        (call,) = twilio.calls.values()
    assert (call.digits, record.ended_by, record.failures) == ("1w", "caller", [])
    first, second = agent.calls
    assert first.messages[-1]["event"] == "stop"
    assert second.events("start")[0]["start"]["callSid"] == call.sid
    assert second.events("start")[0]["streamSid"] != first.events("start")[0]["streamSid"]
    assert second.answers == 1


async def test_agent_transfers_a_call() -> None:
    agent = ScriptedAgent()
    async with line(agent) as (twilio, twilio_line):
        playing = asyncio.create_task(play_call(twilio_line, parse_script(LISTEN + WAIT.format(5000)), []))
        await until(lambda: agent.calls and agent.calls[0].events("mark"))
        action = agent.address.webhook("dialled")
        dial = f'<Response><Dial action="{action}"><Sip>sip:desk@example.org</Sip></Dial></Response>'
        assert await rest(twilio, Twiml=dial) == 200
        record = await playing
        (call,) = twilio.calls.values()
    assert (record.ended_by, call.transferred_to) == ("agent", "sip:desk@example.org")
    assert agent.actions[0]["DialCallStatus"] == "completed"


async def test_phone_speaks_at_an_even_pace_and_a_bad_network_only_delays() -> None:
    network = "[network]\nseed = 7\nloss_percent = 5\nduplicate_percent = 10\njitter_ms = 30\n"
    record, agent = await play(network + LISTEN + say() + WAIT.format(600) + HANG_UP)
    times = [packet.at_ns for packet in record.trace.sent]
    gaps_ms = [(later - earlier) / 1e6 for earlier, later in itertools.pairwise(times)]
    assert timing.percentile(gaps_ms, 50) == pytest.approx(20, abs=1)
    call = only(agent)
    chunks = [int(message["media"]["chunk"]) for message in call.events("media")]
    assert chunks == list(range(1, len(chunks) + 1))
    arrived_ns = [at for at, message in zip(call.arrived_ns, call.messages, strict=True) if message["event"] == "media"]
    late_ms = max((later - earlier) / 1e6 for earlier, later in itertools.pairwise(arrived_ns))
    assert late_ms > 120


async def test_ten_calls_at_once_share_one_thread_and_each_hears_its_own_answers() -> None:
    agent = ScriptedAgent()
    script = parse_script(LISTEN + say(expect="nine") + HANG_UP)
    async with line(agent) as (_, twilio_line):
        records = await play_calls(twilio_line, script, [QUESTION], count=10, rate=50)
    assert [record.failures for record in records] == [[]] * 10
    assert len({record.caller for record in records}) == 10
    assert len(agent.calls) == 10
    for record in records:
        answers = hear_answers(record.trace, Recording(record.trace), 1, by_tone)
        assert judge(script, answers, "", [None]) == []


async def test_agent_that_speaks_nonsense_is_counted() -> None:
    class Confused(ScriptedAgent):
        async def converse(self, call: AgentCall) -> None:
            await call.socket.receive()
            call.messages.append((await call.socket.receive()).json())
            await call.socket.send_str("{")
            await call.send("sing")
            await call.send("media", media={"payload": "?"})
            await call.play(tone(400, 100), "greeting")
            async for _ in call.socket:
                pass

    record, _ = await play(LISTEN + HANG_UP, Confused())
    assert record.trace.discarded == 3
    assert len(record.trace.received) == 5
