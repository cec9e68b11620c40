"""One Media Streams socket: what comes is bounded and makes sense, what goes does not wait for ever."""

import asyncio
import logging
from socket import SO_SNDBUF, SOL_SOCKET

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from core.observability import metrics
from core.transports.twilio import messages
from core.transports.twilio.framing import Framing
from core.transports.twilio.messages import SAMPLE_RATE_HZ, Connected, MalformedMessage, Media, Message, Start
from core.transports.twilio.settings import TwilioSettings

_log = logging.getLogger(__name__)

# More than a second's audio each, in the process and in its kernel: beyond that, sending waits.
_WRITE_BUFFER_BYTES = 16384
_KERNEL_BUFFER_BYTES = 16384
_CLOSE_TIMEOUT_S = 1.0
# A network that stood still brings much at once, but nobody speaks faster than time passes.
_AHEAD_S_MAX = 10.0


class StreamRefused(ValueError):
    """The socket is not a call's. `reason` is one word, for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MediaSocket:
    """Upgraded with `accept`. One task reads, one task sends; `close` is for anyone.

    Attributes:
        fault: why it was closed, where that was for something its other end did or left undone.
    """

    def __init__(self, socket: web.WebSocketResponse, request: web.Request, settings: TwilioSettings) -> None:
        self._socket = socket
        self._request = request
        self._settings = settings
        self._stream_sid: str | None = None
        self._framing: Framing | None = None
        self._malformed = 0
        self._started_s = 0.0
        self._audio_s = 0.0
        self.fault = ""

    @classmethod
    async def accept(cls, request: web.Request, settings: TwilioSettings) -> "MediaSocket":
        socket = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S,
            max_msg_size=settings.max_message_bytes,
            compress=False,
            writer_limit=_WRITE_BUFFER_BYTES,
        )
        await socket.prepare(request)
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
            connection = request.transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(SOL_SOCKET, SO_SNDBUF, _KERNEL_BUFFER_BYTES)
        return cls(socket, request, settings)

    @property
    def response(self) -> web.WebSocketResponse:
        return self._socket

    async def start(self, call_sid: str) -> Start:
        """Reads up to the message that begins the stream.

        Raises:
            StreamRefused: it does not come in time, or names another call.
        """
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                start = await self._first()
        except TimeoutError as error:
            raise StreamRefused("start_timeout") from error
        if start.call_sid != call_sid:
            raise StreamRefused("start_other_call")
        self._stream_sid = start.stream_sid
        self._started_s = asyncio.get_running_loop().time()
        framing = Framing(start.stream_sid)
        await framing.begin()
        self._framing = framing
        return start

    async def receive(self) -> tuple[Message, bytes] | None:
        """The next message, with its audio if it has any; None once the socket is closed."""
        while not self._socket.closed:
            received = await self._socket.receive()
            if received.type is WSMsgType.TEXT:
                message = self._parse(received.data)
                if isinstance(message, Media) and self._framing is not None:
                    return message, await self._framing.decode(received.data)
                if message is not None:
                    return message, b""
            elif received.type is WSMsgType.BINARY:
                self._discard("binary")
            else:
                self._note_failure(received.data)
                return None
            if self._malformed > self._settings.max_malformed:
                self.fault = "too much of the stream made no sense"
                await self.close(WSCloseCode.POLICY_VIOLATION)
                return None
        return None

    async def send_audio(self, pcm: bytes) -> None:
        """A socket that is closed, or that nobody reads, takes it too: whoever receives is told. As for the others."""
        assert self._framing is not None
        await self._send(await self._framing.encode(pcm))

    async def send_clear(self) -> None:
        assert self._framing is not None
        await self._send(await self._framing.clear())

    async def send_mark(self, name: str) -> None:
        assert self._stream_sid is not None
        await self._send(messages.mark(self._stream_sid, name))

    async def close(self, code: int = WSCloseCode.OK) -> None:
        """Says goodbye if that is heard soon, and lets go of the connection. Harmless when repeated. Never raises."""
        try:
            async with asyncio.timeout(2 * _CLOSE_TIMEOUT_S):
                await self._socket.close(code=code)
        except (TimeoutError, ConnectionError, RuntimeError):
            self.abort()
        transport = self._request.transport
        if transport is not None and transport.get_write_buffer_size():
            # Nobody reads it, and the event loop would wait for somebody to.
            self.abort()

    def abort(self) -> None:
        """Lets go of the connection at once. Never raises."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _first(self) -> Start:
        while (received := await self.receive()) is not None:
            message, _ = received
            if isinstance(message, Start):
                return message
            if not isinstance(message, Connected):
                self._discard("before_start")
        raise StreamRefused("closed_before_start")

    def _parse(self, text: str) -> Message | None:
        try:
            message = messages.parse(text, self._stream_sid)
        except MalformedMessage as error:
            self._discard(error.reason)
            return None
        if isinstance(message, Start) and self._stream_sid is not None:
            self._discard("start_again")
            return None
        if isinstance(message, Media) and self._ahead(message):
            self._discard("ahead")
            return None
        return message

    def _note_failure(self, failure: object) -> None:
        """Closed in order, or by something that is no WebSocket message (RFC 6455 7.1.7)."""
        if isinstance(failure, WebSocketError):
            too_big = failure.code == WSCloseCode.MESSAGE_TOO_BIG
            self._discard("too_big" if too_big else "protocol")
            self.fault = "a message was too big" if too_big else "the stream is no WebSocket's"

    def _ahead(self, media: Media) -> bool:
        """Whether this would be more audio than there was time for; else it is counted."""
        audio_s = self._audio_s + media.size_bytes / SAMPLE_RATE_HZ
        if audio_s > asyncio.get_running_loop().time() - self._started_s + _AHEAD_S_MAX:
            return True
        self._audio_s = audio_s
        return False

    def _discard(self, reason: str) -> None:
        self._malformed += 1
        metrics.TWILIO_FRAMES_DISCARDED.labels(reason).inc()

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                await self._socket.send_str(text)
        except TimeoutError:
            self.fault = "nobody reads the stream"
            self.abort()
        except (ConnectionError, RuntimeError):
            # Closed, or closing: receiving ends as well, and says it.
            _log.debug("sent to a stream that is closed")
