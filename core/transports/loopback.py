"""Calls within the process: a leg that behaves like a real one, and the caller at its other end.

transport = LoopbackTransport(clock=VirtualClock())
caller = transport.call("echo")
await caller.answered()
caller.speak(pcm)
caller.hang_up()
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence

from aiohttp import web

from core.errors import CallEnded, CallRefused, ConnectorError, Draining, TransferFailed
from core.leg import (
    AudioReceived,
    CallHandler,
    CallInfo,
    DigitReceived,
    EndReason,
    HoldChanged,
    LegEnded,
    LegEvent,
    LegStatistics,
)
from core.transports.clock import Clock, LoopClock

_log = logging.getLogger(__name__)

PTIME_MS = 20
_LEAD_MS = 80
_BYTES_PER_SAMPLE = 2
_KEYS = frozenset("0123456789*#ABCD")
# Five seconds that nobody took; then the oldest goes.
_UNREAD_MAX = 250


class LoopbackLeg:
    """A `CallLeg` whose wire is a queue. Audio moves in packets of 20 ms, both ways, by its clock."""

    def __init__(self, info: CallInfo, sample_rate_hz: int, clock: Clock) -> None:
        self._info = info
        self._sample_rate_hz = sample_rate_hz
        self._clock = clock
        self._packet_bytes = sample_rate_hz * PTIME_MS // 1000 * _BYTES_PER_SAMPLE
        self._events: deque[LegEvent] = deque()
        self._news = asyncio.Event()
        self._queue = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self._sent = 0
        self._played_bytes = 0
        self._received = 0
        self._held = False
        self._last: LegEnded | None = None
        self._to_send: deque[str] = deque()
        self.to_speak = bytearray()
        self.heard = bytearray()
        self.digits_heard = ""
        self.transfer_target = ""
        self.accepts_transfer = True
        self.outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def info(self) -> CallInfo:
        return self._info

    @property
    def sample_rate_hz(self) -> int:
        return self._sample_rate_hz

    @property
    def up(self) -> bool:
        return self._last is None and self.outcome.done()

    async def answer(self) -> None:
        if self._last is not None:
            raise CallEnded("the caller gave up")
        if not self.outcome.done():
            self.outcome.set_result(200)

    async def reject(self, refusal: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_result(refusal.sip_status if isinstance(refusal, CallRefused) else 500)
        self.end(EndReason.ERROR, str(refusal))

    async def receive(self) -> LegEvent:
        while not self._events:
            if self._last is not None:
                return self._last
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    async def play(self, pcm: bytes) -> None:
        self._check_up()
        self._queue += pcm
        while self.queued_ms > _LEAD_MS:
            self._room.clear()
            await self._room.wait()
            self._check_up()

    def clear_playback(self) -> None:
        self._queue.clear()
        self._room.set()

    @property
    def queued_ms(self) -> float:
        return len(self._queue) / self._packet_bytes * PTIME_MS

    @property
    def played_ms(self) -> float:
        return self._played_bytes / self._packet_bytes * PTIME_MS

    async def send_digits(self, digits: str) -> None:
        self._check_up()
        if not set(digits.upper()) <= _KEYS:
            raise ValueError("Not a key: only 0-9 * # A-D can be sent")
        self._to_send.extend(digits.upper())

    async def transfer(self, target: str) -> None:
        self._check_up()
        self.transfer_target = target
        if not self.accepts_transfer:
            raise TransferFailed("the phone answered 603 Decline")
        self.end(EndReason.TRANSFERRED)

    async def hang_up(self, reason: EndReason) -> None:
        if not self.outcome.done():
            self.outcome.set_result(480)
        self.end(reason)

    def statistics(self) -> LegStatistics:
        return LegStatistics(packets_sent=self._sent, packets_received=self._received)

    # The wire.

    async def move_audio(self) -> None:
        """One packet each way every 20 ms from now on, until the call has ended."""
        deadline_s = self._clock.now()
        while self._last is None:
            self._move_packet()
            deadline_s += PTIME_MS / 1000
            await self._clock.sleep_until(deadline_s)

    def tell(self, event: LegEvent) -> None:
        if self._last is None:
            if len(self._events) >= _UNREAD_MAX:
                self._events.popleft()
            self._events.append(event)
            self._news.set()

    def hold(self, held: bool) -> None:
        if held != self._held:
            self._held = held
            self.tell(HoldChanged(held))

    def end(self, reason: EndReason, detail: str = "") -> None:
        if self._last is None:
            self._last = LegEnded(reason, detail)
            self._events.clear()
            self._queue.clear()
            self._news.set()
            self._room.set()

    def _move_packet(self) -> None:
        if not self._held:
            size = self._packet_bytes
            self.heard += self._take_queued(size).ljust(size, b"\0")
            self._sent += 1
        if not self._queue and self._to_send:
            self.digits_heard += self._to_send.popleft()
        self._receive_packet()

    def _take_queued(self, size: int) -> bytes:
        packet = bytes(self._queue[:size])
        del self._queue[:size]
        self._played_bytes += len(packet)
        if self.queued_ms <= _LEAD_MS:
            self._room.set()
        return packet

    def _receive_packet(self) -> None:
        spoken = bytes(self.to_speak[: self._packet_bytes]).ljust(self._packet_bytes, b"\0")
        del self.to_speak[: self._packet_bytes]
        self._received += 1
        self.tell(AudioReceived(spoken, self._clock.now()))

    def _check_up(self) -> None:
        if not self.up:
            raise CallEnded("the call is not up")


class LoopbackCaller:
    """The other end of a `LoopbackLeg`: what a caller does, and what they hear."""

    def __init__(self, leg: LoopbackLeg) -> None:
        self.leg = leg

    async def answered(self) -> int:
        """The status that the call was answered or refused with."""
        return await asyncio.shield(self.leg.outcome)

    def speak(self, pcm: bytes) -> None:
        """Says this, behind what is being said; silence follows."""
        self.leg.to_speak += pcm

    @property
    def speaking(self) -> bool:
        return bool(self.leg.to_speak)

    def press(self, digits: str) -> None:
        for digit in digits:
            self.leg.tell(DigitReceived(digit))

    def hold(self) -> None:
        self.leg.hold(True)

    def resume(self) -> None:
        self.leg.hold(False)

    def hang_up(self) -> None:
        """Ends the call, or gives up before it is answered."""
        cancelled = not self.leg.outcome.done()
        if cancelled:
            self.leg.outcome.set_result(487)
        self.leg.end(EndReason.CALLER_CANCELLED if cancelled else EndReason.CALLER_HUNG_UP)

    @property
    def heard(self) -> bytes:
        """All that came from our side since the answer, silence included, in the time it took."""
        return bytes(self.leg.heard)

    @property
    def digits(self) -> str:
        """Keys that came from our side."""
        return self.leg.digits_heard


class LoopbackTransport:
    """Calls placed by a test."""

    name = "loopback"
    routes: Sequence[web.AbstractRouteDef] = ()

    def __init__(self, *, clock: Clock | None = None, sample_rate_hz: int = 8000) -> None:
        self._clock = clock or LoopClock()
        self._sample_rate_hz = sample_rate_hz
        self._waiting: asyncio.Queue[LoopbackLeg] = asyncio.Queue(maxsize=1000)
        self._draining = False
        self._running = False

    @property
    def ready(self) -> bool:
        return self._running and not self._draining

    def call(
        self, called: str = "agent", *, caller: str = "alice", parameters: Mapping[str, str] | None = None
    ) -> LoopbackCaller:
        """Places a call; it rings once the transport runs."""
        info = CallInfo(uuid.uuid4().hex, self.name, caller, called, {}, dict(parameters or {}))
        leg = LoopbackLeg(info, self._sample_rate_hz, self._clock)
        self._waiting.put_nowait(leg)
        return LoopbackCaller(leg)

    async def drain(self) -> None:
        self._draining = True

    async def run(self, handler: CallHandler) -> None:
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    group.create_task(self._run_call(await self._waiting.get(), handler))
        finally:
            self._running = False

    async def _run_call(self, leg: LoopbackLeg, handler: CallHandler) -> None:
        try:
            async with asyncio.TaskGroup() as call:
                call.create_task(self._carry(leg))
                await self._converse(leg, handler)
        finally:
            await leg.hang_up(EndReason.ERROR)

    async def _converse(self, leg: LoopbackLeg, handler: CallHandler) -> None:
        try:
            if self._draining:
                raise Draining
            await handler(leg)
        except ConnectorError as error:
            await leg.reject(error)
        except Exception as error:
            # A call's failure ends that call only.
            _log.exception("conversation failed")
            await leg.reject(error)
        else:
            await leg.hang_up(EndReason.AGENT_HUNG_UP)

    async def _carry(self, leg: LoopbackLeg) -> None:
        if await asyncio.shield(leg.outcome) == 200:
            await leg.move_audio()
