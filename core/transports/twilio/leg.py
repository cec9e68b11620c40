"""One call through Twilio as a `CallLeg`: its stream, which may change, and what is asked of the REST API."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSCloseCode

from core.errors import CallEnded, CallRefused, SignallingError, SignallingTimeout, TransferFailed
from core.leg import CallInfo, DigitReceived, EndReason, LegEnded, LegEvent, LegStatistics
from core.rtp.dtmf import KEYS
from core.transports.twilio import twiml
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.event_queue import EventQueue
from core.transports.twilio.inbound import Inbound
from core.transports.twilio.media_socket import MediaSocket
from core.transports.twilio.messages import SAMPLE_RATE_HZ, Dtmf, Mark, Media, Stop
from core.transports.twilio.playout import Audio, Clear, MarkWanted, Playout
from core.transports.twilio.redirection import Redirection
from core.transports.twilio.settings import TwilioSettings

_log = logging.getLogger(__name__)

# Five seconds that nobody took.
_UNREAD_MAX = 250
# Twilio presses two keys a second.
_DIGIT_S = 0.5
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Addresses:
    """What this call's instructions name.

    Attributes:
        stream: the address of a stream that follows the first, by its name and the seconds until it may open.
        dialled: asked what follows a transfer.
    """

    stream: Callable[[str, float], str]
    dialled: str


class TwilioLeg:
    """A `CallLeg`. `serve` reads a stream, `carry` sends to the one there is: the call outlives a change of it."""

    def __init__(
        self, info: CallInfo, settings: TwilioSettings, control: CallControl | None, addresses: Addresses
    ) -> None:
        self._info = info
        self._settings = settings
        self._control = control
        self._addresses = addresses
        self._loop = asyncio.get_running_loop()
        self._events = EventQueue(_UNREAD_MAX)
        self._inbound = Inbound()
        self._playout = Playout(settings.lead_ms, settings.mark_overdue_s, self._loop.time)
        self._redirection = Redirection(control, info.call_id, self._not_back)
        self._socket: MediaSocket | None = None
        self._answered = False
        # Twilio may not know yet that the call is over.
        self._lingers = False
        self._hanging_up = asyncio.Lock()
        self._sent = 0
        self.over = asyncio.Event()

    @property
    def info(self) -> CallInfo:
        return self._info

    @property
    def sample_rate_hz(self) -> int:
        return SAMPLE_RATE_HZ

    async def answer(self) -> None:
        # The webhook's instructions have answered it: there is nothing to send.
        self._check_up()
        self._answered = True

    async def reject(self, refusal: Exception) -> None:
        known = isinstance(refusal, CallRefused)
        if self._end(EndReason.ERROR, str(refusal) if known else type(refusal).__name__, lingers=True):
            await self._close_socket(WSCloseCode.TRY_AGAIN_LATER if known else WSCloseCode.INTERNAL_ERROR)

    async def receive(self) -> LegEvent:
        return await self._events.take()

    async def play(self, pcm: bytes) -> None:
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
        """As the seam says. The stream goes away meanwhile, and another one takes its place.

        Raises `SignallingError` as well: no key was pressed, and the call goes on.
        """
        self._check_up()
        digits = digits.upper()
        if not set(digits) <= set(KEYS):
            raise ValueError("Not a key: only 0-9 * # A-D can be sent")
        if not digits:
            return
        async with self._redirection.turn:
            await self._drained()
            away_s = _DIGIT_S * len(digits) + self._settings.api_timeout_s + self._settings.start_timeout_s
            name = self._redirection.begin(away_s)
            await self._redirect(twiml.play_digits(digits, self._addresses.stream(name, away_s)), comes_back=True)
            await self._redirection.back()
        self._check_up()

    async def transfer(self, target: str) -> None:
        self._check_up()
        try:
            instructions = twiml.dial(
                target,
                caller_id=self._settings.transfer_caller_id,
                action_url=self._addresses.dialled,
                timeout_s=self._settings.transfer_timeout_s,
            )
            async with self._redirection.turn:
                self._check_up()
                self._redirection.begin(self._settings.api_timeout_s + self._settings.start_timeout_s)
                await self._redirect(instructions, comes_back=False)
        except (ValueError, SignallingError) as error:
            raise TransferFailed(str(error)) from error
        if self._end(EndReason.TRANSFERRED):
            await self._close_socket()

    async def hang_up(self, reason: EndReason) -> None:
        if self._end(reason, lingers=True):
            await self.release()

    def statistics(self) -> LegStatistics:
        """What the caller's audio was worth is not estimated: how it reached Twilio is not told."""
        inbound = self._inbound
        return LegStatistics(
            packets_sent=self._sent,
            packets_received=inbound.received,
            packets_lost=inbound.lost,
            packets_duplicated=inbound.repeated,
            packets_discarded=self._events.dropped,
            jitter_ms=inbound.jitter_ms,
        )

    # The stream.

    def awaits(self, name: str) -> bool:
        """Whether a stream of that name may take up the call again."""
        return self._events.last is None and self._redirection.expects(name)

    async def serve(self, socket: MediaSocket) -> None:
        """Reads a stream until it closes. The call ends with it, unless another one is to follow."""
        if self._events.last is not None:
            return
        former, self._socket = self._socket, socket
        if former is not None:
            former.abort()
        self._inbound.restart()
        self._redirection.end()
        self._playout.begin()
        end = LegEnded(EndReason.CALLER_HUNG_UP, "the stream was closed")
        try:
            end = await self._read(socket)
        finally:
            if self._socket is socket:
                self._socket = None
                self._playout.suspend()
                if not self._redirection.under_way:
                    self._stream_over(end)

    async def carry(self) -> None:
        """Sends what is to be heard, at its time, until the call has ended."""
        with contextlib.suppress(CallEnded):
            while True:
                outgoing = await self._playout.take()
                socket = self._socket
                assert socket is not None
                match outgoing:
                    case Audio(pcm=pcm):
                        await socket.send_audio(pcm)
                        self._sent += 1
                    case MarkWanted(name=name):
                        await socket.send_mark(name)
                    case Clear():
                        await socket.send_clear()

    def caller_gone(self, detail: str) -> None:
        """The call is over, for all that Twilio says."""
        self._end(EndReason.CALLER_HUNG_UP if self._answered else EndReason.CALLER_CANCELLED, detail)

    async def release(self) -> None:
        """Leaves nothing behind, here or at Twilio. Never raises."""
        # First: the caller is off the line then, and the REST API may take its time.
        await self._close_socket()
        await self._hang_up_lingering()

    async def _read(self, socket: MediaSocket) -> LegEnded:
        """Until the stream is over, or another one has taken its place; how a call would end with it."""
        silent_at_s = self._loop.time() + self._settings.media_timeout_s
        while True:
            try:
                async with asyncio.timeout_at(silent_at_s):
                    received = await socket.receive()
            except TimeoutError:
                return LegEnded(EndReason.MEDIA_TIMEOUT, f"no media for {self._settings.media_timeout_s:.0f} s")
            if socket.fault:
                return LegEnded(EndReason.SIGNALLING_LOST, socket.fault)
            if received is None or socket is not self._socket:
                return LegEnded(EndReason.CALLER_HUNG_UP, "the stream was closed")
            match received[0]:
                case Media() as media:
                    silent_at_s = self._loop.time() + self._settings.media_timeout_s
                    for event in self._inbound.receive(media, received[1], time.monotonic()):
                        self._events.put(event)
                case Mark(name=name):
                    self._playout.heard(name)
                case Dtmf(digit=digit):
                    self._events.put(DigitReceived(digit))
                case Stop():
                    return LegEnded(EndReason.CALLER_HUNG_UP)

    def _stream_over(self, end: LegEnded) -> None:
        if end.reason is EndReason.CALLER_HUNG_UP:
            self.caller_gone(end.detail)
        else:
            self._end(end.reason, end.detail, lingers=True)

    async def _redirect(self, instructions: str, *, comes_back: bool) -> None:
        try:
            await self._redirection.run(instructions)
        except (SignallingError, asyncio.CancelledError) as error:
            # Without an answer Twilio may have followed them, or yet follow them: then the stream is left, and the
            # next one is to be let in; without a next one the call has gone on elsewhere, and is not to be hung up.
            unknown = isinstance(error, SignallingTimeout | asyncio.CancelledError)
            if not (comes_back and unknown):
                self._redirection.end()
                if self._socket is None:
                    self.caller_gone("the stream was closed")
            raise

    def _not_back(self) -> None:
        if self._socket is None:
            self._end(EndReason.SIGNALLING_LOST, "the stream did not come back", lingers=True)

    async def _drained(self) -> None:
        while self.queued_ms > 0:
            self._check_up()
            await asyncio.sleep(_POLL_S)
        self._check_up()

    # The end.

    def _end(self, reason: EndReason, detail: str = "", *, lingers: bool = False) -> bool:
        """Whether this is what ended it."""
        if self._events.last is not None:
            return False
        self._lingers = lingers
        self._events.end(LegEnded(reason, detail))
        self._playout.close()
        self._redirection.end()
        self.over.set()
        return True

    async def _hang_up_lingering(self) -> None:
        """Nothing follows the stream, so closing it ends the call too; but that needs a connection that works."""
        # Several may ask at once; who asked first may be cancelled by the end that they asked for.
        async with self._hanging_up:
            if not self._lingers or self._control is None:
                return
            try:
                await self._control.hang_up(self._info.call_id)
            except SignallingError as error:
                _log.warning("call was not hung up by the REST API", extra={"reason": str(error)})
            except Exception:
                # What the SDK trips over ends this call only.
                _log.exception("call was not hung up by the REST API")
            self._lingers = False

    async def _close_socket(self, code: int = WSCloseCode.OK) -> None:
        if self._socket is not None:
            await self._socket.close(code)

    def _check_up(self) -> None:
        if self._events.last is not None:
            raise CallEnded("the call is not up")
