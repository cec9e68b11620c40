"""One call, from its placing to its end, as its script tells; on whatever line."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tools.caller.line import CallNotUpError, Line, LineError, PlacedCall
from tools.caller.script import CallScript, HangUp, Hold, Listen, Press, Say, Wait
from tools.caller.trace import Trace

_POLL_S = 0.01
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
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
        caller: by it, and by the transport, the connector's own account of the call is found.
        status: final reply, None where none came.
        ended_by: "caller" or "agent", "" where the call was never up.
        failures: what did not go as the script wanted.
        transport: the way the call came in, as the connector names it.
    """

    script: CallScript
    caller: str
    trace: Trace
    status: int | None = None
    ended_by: str = ""
    failures: list[str] = field(default_factory=list)
    transport: str = "opensips"


class _AgentHungUpError(Exception):
    """The agent ended the call while the script went on."""


async def play_call(
    line: Line,
    script: CallScript,
    speeches: Sequence[bytes],
    *,
    caller: str = "",
    stream: int = 0,
    observer: Observer | None = None,
) -> CallRecord:
    """Plays a script on a line; `speeches` is the PCM of each of its says.

    What goes wrong on the call is in the record, never raised.

    Raises:
        OSError: the phone finds no port.
    """
    caller = caller or script.caller
    call = await line.dial(script, caller, script.called, stream)
    try:
        record = CallRecord(script, caller, call.trace, transport=line.transport)
        return await _Playing(call, record, speeches, observer or Unobserved()).run()
    finally:
        await call.close()


class _Playing:
    """A call while it is up."""

    def __init__(self, call: PlacedCall, record: CallRecord, speeches: Sequence[bytes], observer: Observer) -> None:
        self._call = call
        self._record = record
        self._speeches = speeches
        self._observer = observer
        self._utterance = 0
        # What the agent begins to say after this moment is its reaction to the latest step.
        self._since_ns = 0

    async def run(self) -> CallRecord:
        record, trace = self._record, self._record.trace
        try:
            record.status = await self._call.answered(record.script.answer_within_s)
        except CallNotUpError as error:
            record.status = error.status
            record.failures.append(str(error))
            return record
        except LineError as error:
            record.failures.append(str(error))
        replied_ns = trace.replied_ns or time.time_ns()
        # The greeting may be on the phone before this loop has read the reply.
        self._since_ns = trace.invited_ns or replied_ns
        self._observer.picked_up((replied_ns - self._since_ns) / _NS_PER_MS)
        await self._converse()
        trace.ended_ns = trace.ended_ns or time.time_ns()
        await asyncio.sleep(_LINGER_S)
        return record

    async def _converse(self) -> None:
        record, steps = self._record, self._record.script.step
        number = 0
        try:
            if record.failures:
                return
            for number, step in enumerate(steps, 1):
                await self._step(number, step)
            if record.ended_by == "":
                await self._until(lambda: False, record.script.hang_up_within_s)
                record.failures.append("the agent did not end the call")
        except _AgentHungUpError:
            record.ended_by = "agent"
            record.trace.ended_ns = time.time_ns()
            if number < len(steps) or isinstance(steps[-1], HangUp):
                record.failures.append(f"the agent ended the call at step {number} of {len(steps)}")
        finally:
            self._call.fall_silent()
            if record.ended_by == "":
                await self._hang_up()

    async def _step(self, number: int, step: object) -> None:
        try:
            match step:
                case Listen():
                    await self._listen(step.within_s, step.quiet_ms)
                case Say():
                    await self._say(step)
                case Press():
                    await self._press(step)
                case Hold():
                    await self._hold(step)
                case Wait():
                    await self._until(lambda: False, step.for_ms / 1000)
                case HangUp():
                    await self._hang_up()
        except LineError as error:
            self._record.failures.append(f"step {number}: {error}")

    async def _say(self, say: Say) -> None:
        utterance = self._utterance
        self._utterance += 1
        self._observer.caller_says(utterance, say.text or str(say.wav))
        self._call.say(self._speeches[utterance], utterance)
        await self._until(lambda: not self._call.busy, None)
        spoken_ns = self._since_ns = time.time_ns()
        if not say.answered:
            return
        began_ns = await self._agent_begins(say.within_s)
        if began_ns is None:
            return
        self._observer.agent_answers(utterance, (began_ns - spoken_ns) / _NS_PER_MS)
        if say.interrupt_after_ms is None:
            await self._agent_is_quiet(say.quiet_ms)
        else:
            due_ns = began_ns + say.interrupt_after_ms * _NS_PER_MS
            await self._until(lambda: time.time_ns() >= due_ns, None)

    async def _listen(self, within_s: float, quiet_ms: int) -> None:
        if await self._agent_begins(within_s) is None:
            self._record.failures.append(f"the agent said nothing within {within_s:g} s")
        else:
            await self._agent_is_quiet(quiet_ms)

    async def _press(self, press: Press) -> None:
        self._since_ns = time.time_ns()
        await self._call.press(press.digits, press.by)
        await self._until(lambda: not self._call.busy, None)

    async def _hold(self, hold: Hold) -> None:
        await self._call.hold(hold.direction)
        await self._until(lambda: False, hold.for_ms / 1000)
        self._since_ns = time.time_ns()
        await self._call.resume()

    async def _hang_up(self) -> None:
        self._call.fall_silent()
        self._record.ended_by = "caller"
        self._record.trace.ended_ns = time.time_ns()
        try:
            await self._call.hang_up()
        except LineError as error:
            self._record.failures.append(str(error))

    async def _agent_begins(self, within_s: float) -> int | None:
        """When the agent began to speak, None where it did not in time."""
        ear, since_ns = self._call.ear, self._since_ns
        await self._until(lambda: ear.began_after(since_ns) is not None, within_s)
        return ear.began_after(since_ns)

    async def _agent_is_quiet(self, quiet_ms: int) -> None:
        ear = self._call.ear
        await self._until(lambda: time.time_ns() - ear.last_ns >= quiet_ms * _NS_PER_MS, _LONGEST_ANSWER_S)

    async def _until(self, condition: Callable[[], bool], timeout_s: float | None) -> None:
        """Returns once the condition holds, or the time is over.

        Raises:
            _AgentHungUpError: the agent ended the call first.
        """
        deadline_ns = None if timeout_s is None else time.monotonic_ns() + int(timeout_s * _NS_PER_S)
        while not condition():
            if self._call.hung_up:
                raise _AgentHungUpError
            if deadline_ns is not None and time.monotonic_ns() >= deadline_ns:
                return
            await asyncio.sleep(_POLL_S)
