"""One call, from INVITE to BYE, as its script tells."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tools.caller.offer import AnswerError, make_offer, read_answer
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.phone import Phone
from tools.caller.script import CallScript, HangUp, Hold, Listen, Press, Say, Wait
from tools.caller.sip_call import SipCall
from tools.caller.trace import Trace
from tools.caller.wire import Wire

_POLL_S = 0.01
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_REQUEST_TIMEOUT_S = 5.0
# Somebody who talks longer is not listened to.
_LONGEST_ANSWER_S = 60.0
# How long stray packets are still looked for after the end.
_LINGER_S = 0.1


class Observer(Protocol):
    """Told what happens while it happens, for people who watch."""

    def picked_up(self, reply_ms: float, /) -> None: ...

    def caller_says(self, utterance: int, text: str, /) -> None: ...

    def agent_answers(self, utterance: int, voice_to_voice_ms: float, /) -> None: ...


class Unobserved:
    """Nobody watches."""

    def picked_up(self, reply_ms: float, /) -> None:
        pass

    def caller_says(self, utterance: int, text: str, /) -> None:
        pass

    def agent_answers(self, utterance: int, voice_to_voice_ms: float, /) -> None:
        pass


@dataclass(slots=True)
class CallRecord:
    """What became of one call.

    Attributes:
        caller: user part of From: by it the connector's own account of the call is found.
        status: final reply to the INVITE, None where none came.
        ended_by: "caller" or "agent", "" where the call was never up.
        failures: what did not go as the script wanted.
    """

    script: CallScript
    caller: str
    trace: Trace
    status: int | None = None
    ended_by: str = ""
    failures: list[str] = field(default_factory=list)


class _AgentHungUpError(Exception):
    """The agent ended the call while the script went on."""


async def play_call(
    opensips: OpenSipsStandIn,
    wire: Wire,
    script: CallScript,
    speeches: Sequence[bytes],
    *,
    caller: str = "",
    stream: int = 0,
    observer: Observer | None = None,
) -> CallRecord:
    """Plays a script against the connector that has subscribed; `speeches` is the PCM of each of its says.

    What goes wrong on the call is in the record, never raised.

    Raises:
        OSError: the phone finds no port.
    """
    phone = wire.open(script, stream)
    try:
        playing = _Playing(opensips, phone, wire.address, script, speeches, caller, observer or Unobserved())
        return await playing.run()
    finally:
        wire.hang_up(phone)


class _Playing:
    """A call while it is up."""

    def __init__(
        self,
        opensips: OpenSipsStandIn,
        phone: Phone,
        address: str,
        script: CallScript,
        speeches: Sequence[bytes],
        caller: str,
        observer: Observer,
    ) -> None:
        self._opensips = opensips
        self._phone = phone
        self._address = address
        self._script = script
        self._speeches = speeches
        self._observer = observer
        self._utterance = 0
        self._offers = 0
        # What the agent begins to say after this moment is its reaction to the latest step.
        self._since_ns = 0
        self._record = CallRecord(script, caller or script.caller, phone.trace)

    async def run(self) -> CallRecord:
        record, script = self._record, self._script
        record.trace.invited_ns = time.time_ns()
        call = self._opensips.invite(self._offer("sendrecv"), caller=record.caller, called=script.called)
        try:
            reply = await call.final(script.answer_within_s)
        except TimeoutError:
            record.failures.append(f"no final reply to the INVITE within {script.answer_within_s:g} s")
            await call.cancel()
            return record
        record.trace.replied_ns = self._since_ns = time.time_ns()
        record.status = reply.status
        if reply.status >= 300:
            record.failures.append(f"the call was refused: {reply.status} {reply.reason}")
            return record
        try:
            self._phone.connect(read_answer(reply.body, script.codec))
        except AnswerError as error:
            record.failures.append(str(error))
        call.ack()
        self._observer.picked_up((record.trace.replied_ns - record.trace.invited_ns) / _NS_PER_MS)
        await self._converse(call)
        record.trace.ended_ns = record.trace.ended_ns or time.time_ns()
        await asyncio.sleep(_LINGER_S)
        return record

    async def _converse(self, call: SipCall) -> None:
        record, steps = self._record, self._script.step
        number = 0
        try:
            if record.failures:
                return
            for number, step in enumerate(steps, 1):
                await self._step(call, number, step)
            if record.ended_by == "":
                await self._until(lambda: False, self._script.hang_up_within_s, call)
                record.failures.append("the agent did not end the call")
        except _AgentHungUpError:
            record.ended_by = "agent"
            record.trace.ended_ns = time.time_ns()
            if number < len(steps) or isinstance(steps[-1], HangUp):
                record.failures.append(f"the agent ended the call at step {number} of {len(steps)}")
        finally:
            self._phone.sending = False
            if record.ended_by == "":
                await self._bye(call)

    async def _step(self, call: SipCall, number: int, step: object) -> None:
        match step:
            case Listen():
                await self._listen(call, step.within_s, step.quiet_ms)
            case Say():
                await self._say(call, step)
            case Press():
                await self._press(call, number, step)
            case Hold():
                await self._hold(call, number, step)
            case Wait():
                await self._until(lambda: False, step.for_ms / 1000, call)
            case HangUp():
                await self._bye(call)

    async def _say(self, call: SipCall, say: Say) -> None:
        utterance = self._utterance
        self._utterance += 1
        self._observer.caller_says(utterance, say.text or str(say.wav))
        self._phone.say(self._speeches[utterance], utterance)
        await self._until(lambda: not self._phone.busy, None, call)
        spoken_ns = self._since_ns = time.time_ns()
        if not say.answered:
            return
        began_ns = await self._agent_begins(call, say.within_s)
        if began_ns is None:
            return
        self._observer.agent_answers(utterance, (began_ns - spoken_ns) / _NS_PER_MS)
        if say.interrupt_after_ms is None:
            await self._agent_is_quiet(call, say.quiet_ms)
        else:
            due_ns = began_ns + say.interrupt_after_ms * _NS_PER_MS
            await self._until(lambda: time.time_ns() >= due_ns, None, call)

    async def _listen(self, call: SipCall, within_s: float, quiet_ms: int) -> None:
        if await self._agent_begins(call, within_s) is None:
            self._record.failures.append(f"the agent said nothing within {within_s:g} s")
        else:
            await self._agent_is_quiet(call, quiet_ms)

    async def _press(self, call: SipCall, number: int, press: Press) -> None:
        self._since_ns = time.time_ns()
        if press.by == "rfc4733":
            try:
                self._phone.press(press.digits)
            except ValueError as error:
                self._record.failures.append(f"step {number}: {error}")
            await self._until(lambda: not self._phone.busy, None, call)
            return
        for digit in press.digits:
            reply = await call.request(
                "INFO",
                f"Signal={digit}\r\nDuration=160\r\n",
                "application/dtmf-relay",
                timeout_s=_REQUEST_TIMEOUT_S,
            )
            if reply.status != 200:
                self._record.failures.append(f"step {number}: INFO was answered {reply.status} {reply.reason}")

    async def _hold(self, call: SipCall, number: int, hold: Hold) -> None:
        await self._renegotiate(call, number, hold.direction)
        self._phone.sending = hold.direction == "sendonly"
        await self._until(lambda: False, hold.for_ms / 1000, call)
        self._phone.sending = True
        self._since_ns = time.time_ns()
        await self._renegotiate(call, number, "sendrecv")

    async def _renegotiate(self, call: SipCall, number: int, direction: str) -> None:
        reply = await call.request("INVITE", self._offer(direction), timeout_s=_REQUEST_TIMEOUT_S)
        if reply.status >= 300:
            self._record.failures.append(f"step {number}: re-INVITE was answered {reply.status} {reply.reason}")
            return
        call.ack()
        try:
            self._phone.connect(read_answer(reply.body, self._script.codec, direction))
        except AnswerError as error:
            self._record.failures.append(f"step {number}: {error}")

    async def _bye(self, call: SipCall) -> None:
        self._phone.sending = False
        self._record.ended_by = "caller"
        self._record.trace.ended_ns = time.time_ns()
        reply = await call.request("BYE", timeout_s=_REQUEST_TIMEOUT_S)
        if reply.status != 200:
            self._record.failures.append(f"BYE was answered {reply.status} {reply.reason}")

    async def _agent_begins(self, call: SipCall, within_s: float) -> int | None:
        """When the agent began to speak, None where it did not in time."""
        ear, since_ns = self._phone.ear, self._since_ns
        await self._until(lambda: ear.began_after(since_ns) is not None, within_s, call)
        return ear.began_after(since_ns)

    async def _agent_is_quiet(self, call: SipCall, quiet_ms: int) -> None:
        ear = self._phone.ear
        await self._until(lambda: time.time_ns() - ear.last_ns >= quiet_ms * _NS_PER_MS, _LONGEST_ANSWER_S, call)

    async def _until(self, condition: Callable[[], bool], timeout_s: float | None, call: SipCall) -> None:
        """Returns once the condition holds, or the time is over.

        Raises:
            _AgentHungUpError: the agent ended the call first.
        """
        deadline_ns = None if timeout_s is None else time.monotonic_ns() + int(timeout_s * _NS_PER_S)
        while not condition():
            if call.hung_up.is_set():
                raise _AgentHungUpError
            if deadline_ns is not None and time.monotonic_ns() >= deadline_ns:
                return
            await asyncio.sleep(_POLL_S)

    def _offer(self, direction: str) -> str:
        self._offers += 1
        return make_offer(self._address, self._phone.local_port, self._script.codec, self._offers, direction)
