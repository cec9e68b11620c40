"""One call through Twilio as a `CallLeg`: its stream, which may change, and what is asked of the REST API."""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable

from aiohttp import WSCloseCode

from core.errors import CallEnded, CallRefused, SignallingError, TransferFailed
from core.leg import (
    AudioReceived,
    CallInfo,
    DigitReceived,
    EndReason,
    LegEnded,
    LegEvent,
    LegStatistics,
)
from core.observability import metrics
from core.rtp.dtmf import KEYS
from core.transports.twilio import twiml
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.inbound import Inbound
from core.transports.twilio.media_socket import MediaSocket, SocketLost
from core.transports.twilio.messages import SAMPLE_RATE_HZ, Dtmf, Mark, Media, Stop
from core.transports.twilio.playout import Audio, Clear, MarkWanted, Playout
from core.transports.twilio.settings import TwilioSettings

_log = logging.getLogger(__name__)

# Five seconds that nobody took; then the oldest goes.
_UNREAD_MAX = 250
# Twilio presses two keys a second.
_DIGIT_S = 0.5
_DRAIN_POLL_S = 0.02


class StreamAddresses:
    """The addresses that this call's instructions name."""

    def __init__(self, stream: Callable[[str], str], dialled: str) -> None:
        self.stream = stream
        """From the name of the leg that takes the stream up again."""
        self.dialled = dialled
        """Asked what follows a transfer."""


class TwilioLeg:
    """A `CallLeg`. `serve` reads its stream, `carry` sends to it; both outlive a change of the stream."""

    def __init__(
        self,
        info: CallInfo,
        settings: TwilioSettings,
        control: CallControl | None,
        addresses: StreamAddresses,
    ) -> None:
        self._info = info
        self._settings = settings
        self._control = control
        self._addresses = addresses
        self._loop = asyncio.get_running_loop()
        self._events: deque[LegEvent] = deque()
        self._news = asyncio.Event()
        self._inbound = Inbound()
        self._playout = Playout(settings.lead_ms, settings.mark_overdue_s, self._loop.time)
        self._socket: MediaSocket | None = None
        self._resumed = asyncio.Event()
        self._answered = False
        self._redirecting = False
        self._resume_name = ""
        self._last: LegEnded | None = None
        self.over = asyncio.Event()
        self._released = asyncio.Event()
        self._sent = 0
        self._unread_dropped = 0
        self._redirect_turn = asyncio.Lock()

    @property
    def info(self) -> CallInfo:
        return self._info

    @property
    def sample_rate_hz(self) -> int:
        return SAMPLE_RATE_HZ

    async def answer(self) -> None:
        # The webhook's instructions have answered it: there is nothing to send.
        if self._last is not None:
            raise CallEnded("the caller gave up")
        self._answered = True

    async def reject(self, refusal: Exception) -> None:
        if self._end(EndReason.ERROR, str(refusal) if isinstance(refusal, CallRefused) else type(refusal).__name__):
            busy = isinstance(refusal, CallRefused) and refusal.sip_status == 503
            await self._close_socket(WSCloseCode.TRY_AGAIN_LATER if busy else WSCloseCode.INTERNAL_ERROR)

    async def receive(self) -> LegEvent:
        while not self._events:
            if self._last is not None:
                return self._last
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    async def play(self, pcm: bytes) -> None:
        self._check_up()
        await self._playout.put(pcm)

    def clear_playback(self) -> None:
        self._playout.clear()

    @property
    def queued_ms(self) -> float:
        return self._playout.queued_ms

    @property
    def played_ms(self) -> float:
        return self._playout.played_ms

    async def send_digits(self, digits: str) -> None:
        """As the seam says; the stream goes away meanwhile, and another one takes its place.

        Raises `SignallingError` as well: no key was pressed, and the call goes on.
        """
        self._check_up()
        digits = digits.upper()
        if not set(digits) <= set(KEYS):
            raise ValueError("Not a key: only 0-9 * # A-D can be sent")
        if not digits:
            return
        control = self._control
        if control is None:
            raise SignallingError("twilio.account_sid is not set: keys are pressed by the REST API")
        async with self._redirect_turn:
            await self._drained()
            self._resume_name = secrets.token_hex(8)
            try:
                await self._redirect(control, twiml.play_digits(digits, self._addresses.stream(self._resume_name)))
                await self._stream_back(_DIGIT_S * len(digits))
            finally:
                self._resume_name = ""

    async def transfer(self, target: str) -> None:
        self._check_up()
        control = self._control
        if control is None:
            raise TransferFailed("twilio.account_sid is not set: calls are transferred by the REST API")
        try:
            instructions = twiml.dial(
                target,
                caller_id=self._settings.transfer_caller_id,
                action_url=self._addresses.dialled,
                timeout_s=self._settings.transfer_timeout_s,
            )
            async with self._redirect_turn:
                self._check_up()
                await self._redirect(control, instructions)
                self._redirecting = False
        except (ValueError, SignallingError) as error:
            raise TransferFailed(str(error)) from error
        if self._end(EndReason.TRANSFERRED):
            await self._close_socket()

    async def hang_up(self, reason: EndReason) -> None:
        if not self._end(reason):
            return
        try:
            if self._control is not None:
                await self._control.hang_up(self._info.call_id)
        except SignallingError as error:
            # Nothing follows the stream: closing it ends the call as well.
            _log.warning("call was not hung up by the REST API", extra={"reason": str(error)})
        finally:
            await self._close_socket()

    def statistics(self) -> LegStatistics:
        inbound = self._inbound
        return LegStatistics(
            packets_sent=self._sent,
            packets_received=inbound.received,
            packets_lost=inbound.lost,
            packets_duplicated=inbound.repeated,
            packets_discarded=self._unread_dropped,
            jitter_ms=inbound.jitter_ms,
        )

    # The stream.

    def awaits(self, resume_name: str) -> bool:
        """Whether a stream of that name may take up the call again."""
        return self._last is None and bool(resume_name) and secrets.compare_digest(resume_name, self._resume_name)

    async def serve(self, socket: MediaSocket) -> None:
        """Reads a stream until it closes. It ends the call with it, unless another one is to follow."""
        if self._last is not None:
            return
        self._socket = socket
        self._inbound.restart()
        self._redirecting = False
        self._resumed.set()
        self._playout.begin()
        stopped = False
        try:
            silent_at_s = self._loop.time() + self._settings.media_timeout_s
            while not stopped:
                async with asyncio.timeout_at(silent_at_s):
                    received = await socket.receive()
                if received is None:
                    break
                message, pcm = received
                if isinstance(message, Media):
                    now_s = self._loop.time()
                    silent_at_s = now_s + self._settings.media_timeout_s
                    for event in self._inbound.receive(message, pcm, now_s):
                        self._tell(event)
                elif isinstance(message, Mark):
                    self._playout.heard(message.name)
                elif isinstance(message, Dtmf):
                    self._tell(DigitReceived(message.digit))
                stopped = isinstance(message, Stop)
        except TimeoutError:
            self._end(EndReason.MEDIA_TIMEOUT, f"no media for {self._settings.media_timeout_s:.0f} s")
        finally:
            if self._socket is socket:
                self._socket = None
                self._playout.suspend()
                if not self._redirecting:
                    self.caller_gone("the stream has ended" if stopped else "the stream was closed")

    def release(self) -> None:
        """Nothing is left of the call: another leg may take its name."""
        self._released.set()

    async def released(self, timeout_s: float) -> None:
        """Waits for that, and not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._released.wait()

    async def carry(self) -> None:
        """Sends what is to be heard, at its time, until the call has ended."""
        while True:
            try:
                outgoing = await self._playout.take()
            except CallEnded:
                return
            socket = self._socket
            if socket is None:
                continue
            try:
                match outgoing:
                    case Audio(pcm=pcm):
                        await socket.send_audio(pcm)
                        self._sent += 1
                    case MarkWanted(name=name):
                        await socket.send_mark(name)
                    case Clear():
                        await socket.send_clear()
            except SocketLost as error:
                if self._socket is socket and not self._redirecting:
                    self._end(EndReason.SIGNALLING_LOST, str(error))

    def caller_gone(self, detail: str) -> None:
        """The call is over, for all that Twilio says."""
        self._end(EndReason.CALLER_HUNG_UP if self._answered else EndReason.CALLER_CANCELLED, detail)

    # Redirection: the call leaves its stream for other instructions.

    async def _redirect(self, control: CallControl, instructions: str) -> None:
        # Twilio may close the stream before it answers the request.
        self._redirecting = True
        self._resumed.clear()
        try:
            await control.redirect(self._info.call_id, instructions)
        except BaseException:
            self._redirecting = False
            if self._socket is None:
                self.caller_gone("the stream was closed")
            raise
        self._check_up()

    async def _stream_back(self, away_s: float) -> None:
        """Waits for the stream that follows."""
        try:
            async with asyncio.timeout(away_s + self._settings.start_timeout_s):
                await self._resumed.wait()
        except TimeoutError:
            self._redirecting = False
            self._end(EndReason.SIGNALLING_LOST, "the stream did not come back")
            await self._close_socket()
        self._check_up()

    async def _drained(self) -> None:
        while (queued_ms := self.queued_ms) > 0:
            self._check_up()
            await asyncio.sleep(max(queued_ms / 1000, _DRAIN_POLL_S))
        self._check_up()

    # Within.

    def _tell(self, event: LegEvent) -> None:
        if self._last is not None:
            return
        if len(self._events) >= _UNREAD_MAX:
            self._drop_oldest_audio()
        self._events.append(event)
        self._news.set()

    def _drop_oldest_audio(self) -> None:
        """Keys go last: a caller presses few, and each counts."""
        for index, event in enumerate(self._events):
            if isinstance(event, AudioReceived):
                del self._events[index]
                break
        else:
            self._events.popleft()
        self._unread_dropped += 1
        metrics.TWILIO_FRAMES_DISCARDED.labels("unread").inc()

    def _end(self, reason: EndReason, detail: str = "") -> bool:
        """Whether this is what ended it."""
        if self._last is not None:
            return False
        self._last = LegEnded(reason, detail)
        self._events.clear()
        self._playout.close()
        self._resumed.set()
        self._news.set()
        self.over.set()
        return True

    async def _close_socket(self, code: int = WSCloseCode.OK) -> None:
        socket = self._socket
        if socket is not None:
            await socket.close(code)

    def _check_up(self) -> None:
        if self._last is not None:
            raise CallEnded("the call is not up")
