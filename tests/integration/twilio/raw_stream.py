"""A stream of Twilio's whose every message a test makes itself, sense or none."""

import asyncio
import itertools
import json
import secrets
import socket as sockets
from urllib.parse import urlsplit

import aiohttp

from tests.integration.twilio_exchange import Exchange
from tools.caller.stream_messages import CONNECTED, StreamMessages
from tools.caller.twiml import ConnectStream, Verb, parse_twiml

SILENCE = b"\xff" * 160
_numbers = itertools.count()
_SMALL_BYTES = 4096


class RawCall:
    """A call whose webhook and socket are made step by step.

    Attributes:
        socket: the open one.
        messages: of the stream, numbered as Twilio does.
    """

    socket: aiohttp.ClientWebSocketResponse

    def __init__(self, exchange: Exchange, session: aiohttp.ClientSession, called: str = "reception") -> None:
        self._exchange = exchange
        self._session = session
        self._called = called
        self._caller = f"+49302{next(_numbers):06d}"
        self.sid = f"CA{secrets.token_hex(16)}"
        self.messages = StreamMessages(exchange.twilio.account_sid, self.sid, f"MZ{secrets.token_hex(16)}", {})
        exchange.twilio.rest.add_call(self.sid, self._caller, called)

    async def instructions(self) -> Verb:
        """What the webhook is answered with."""
        agent = self._exchange.agent
        fields = {
            "CallSid": self.sid,
            "From": self._caller,
            "To": self._called,
            "Direction": "inbound",
            "CallStatus": "ringing",
        }
        # Two requests with the same fields would be the same request twice.
        fields["Timestamp"] = secrets.token_hex(4)
        status, text = await self._exchange.twilio.post(agent, agent.webhook("voice"), fields)
        assert status == 200, (status, text)
        (verb,) = parse_twiml(text)
        return verb

    async def stream_url(self) -> str:
        verb = await self.instructions()
        assert isinstance(verb, ConnectStream)
        return verb.url

    async def open(self, url: str = "") -> None:
        """The socket, of a new webhook's unless a URL is given. Raises WSServerHandshakeError: it is refused."""
        url = url or await self.stream_url()
        headers = self._exchange.twilio.forwarded(url)
        self.socket = await self._session.ws_connect(self._exchange.agent.reached(url), headers=headers)

    async def start(self) -> None:
        await self.socket.send_str(CONNECTED)
        await self.socket.send_str(self.messages.start())

    async def up(self) -> "RawCall":
        """The call is up, and the agent speaks."""
        await self.open()
        await self.start()
        assert json.loads(await self.socket.receive_str(timeout=5))["event"] == "media"
        return self

    async def closed(self, within_s: float = 5.0) -> int | None:
        """Reads until the agent closes the socket; the code."""
        while not self.socket.closed:
            await self.socket.receive(timeout=within_s)
        return self.socket.close_code

    def cut(self) -> None:
        """The connection is gone, without a word."""
        connection = self.socket.get_extra_info("socket")
        connection.shutdown(sockets.SHUT_RDWR)

    async def open_deaf(self) -> sockets.socket:
        """A connection with a call that has begun, whose end here holds little and reads nothing."""
        reached = urlsplit(self._exchange.agent.reached(await self.stream_url()))
        loop = asyncio.get_running_loop()
        deaf = sockets.socket()
        deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _SMALL_BYTES)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, (reached.hostname, reached.port))
        request = (
            f"GET {reached.path} HTTP/1.1\r\nHost: {reached.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await loop.sock_sendall(deaf, request.encode())
        assert (await loop.sock_recv(deaf, _SMALL_BYTES)).startswith(b"HTTP/1.1 101")
        await loop.sock_sendall(deaf, _frame(CONNECTED) + _frame(self.messages.start()))
        return deaf


def _frame(text: str) -> bytes:
    """A text masked with zeros (RFC 6455 5.2, 5.3)."""
    body = text.encode()
    length = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + len(body).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + body
