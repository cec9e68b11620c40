"""What passes before a caller over Twilio hears something: its webhook's answer, and the first audio of its stream.

One call after the other to a core that runs, without a phone: the clock of the second begins with the `start` message
and ends with the kernel's time of the first `media`.
"""

import asyncio
import json
import secrets
import time
from urllib.parse import urlsplit

from tools.bench.figures import Report, spread
from tools.caller.stream_messages import CONNECTED, StreamMessages
from tools.caller.stream_socket import StreamSocket, open_socket
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twiml import ConnectStream, parse_twiml

_TIMEOUT_S = 5.0
_NS_PER_MS = 1_000_000


async def measure(twilio: TwilioStandIn, agent: AgentAddress, calls: int) -> Report:
    """Raises OSError, ValueError, TimeoutError: a call was not taken."""
    figures = [await _call(twilio, agent) for _ in range(calls)]
    return {
        "calls": calls,
        "webhook_ms": spread([webhook_ms for webhook_ms, _ in figures]),
        "first_audio_ms": spread([first_ms for _, first_ms in figures]),
    }


async def _call(twilio: TwilioStandIn, agent: AgentAddress) -> tuple[float, float]:
    """From the webhook to its answer, and from the stream's start to its first audio."""
    call_sid = f"CA{secrets.token_hex(16)}"
    twilio.rest.add_call(call_sid, "+4930123456", "+4930999999")
    fields = {"CallSid": call_sid, "From": "+4930123456", "To": "+4930999999", "Direction": "inbound"}
    asked_ns = time.perf_counter_ns()
    status, text = await twilio.post(agent, agent.webhook("voice"), fields)
    webhook_ms = (time.perf_counter_ns() - asked_ns) / _NS_PER_MS
    verbs = parse_twiml(text) if status == 200 else []
    if not verbs or not isinstance(verbs[0], ConnectStream):
        raise OSError(f"the webhook was answered {status}, without a stream")
    url = verbs[0].url
    reached = urlsplit(agent.reached(url))
    stream = await open_socket(
        reached.geturl(), str(reached.hostname), reached.port or 80, twilio.forwarded(url), _TIMEOUT_S
    )
    messages = StreamMessages(twilio.account_sid, call_sid, f"MZ{secrets.token_hex(16)}", {})
    try:
        stream.send(CONNECTED)
        started_ns = time.time_ns()
        stream.send(messages.start())
        async with asyncio.timeout(_TIMEOUT_S):
            first_ns = await _first_media_ns(stream)
        stream.send(messages.stop())
    finally:
        stream.close()
    return webhook_ms, (first_ns - started_ns) / _NS_PER_MS


async def _first_media_ns(stream: StreamSocket) -> int:
    while not stream.ended:
        await _readable(stream)
        texts, at_ns = stream.read()
        if any(json.loads(text)["event"] == "media" for text in texts):
            return at_ns
    raise OSError("the stream was closed before anything was heard")


async def _readable(stream: StreamSocket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(stream.connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(stream.connection)
