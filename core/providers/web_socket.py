"""An AI server reached over WebSocket (RFC 6455): connections to it, and whether it is there."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from core.errors import ProviderRejected, ProviderUnavailable
from core.providers.readiness import ReadinessWatch

# A peer that is gone without a word is noticed after one and a half of these.
HEARTBEAT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
# Longest message that is taken from a server.
MESSAGE_MAX_BYTES = 16 * 2**20
# A handshake answered with one of these would be answered so again.
_REFUSED_FOR_GOOD = frozenset({400, 401, 403, 404, 405, 410, 426})

Received = str | bytes


class WebSocketConnection:
    """One connection; all its failures are of the `ProviderError` family."""

    def __init__(
        self, provider: str, socket: aiohttp.ClientWebSocketResponse, on_broken: Callable[[], None] = lambda: None
    ) -> None:
        self._provider = provider
        self._socket = socket
        self._on_broken = on_broken

    async def send(self, message: Received | dict[str, Any]) -> None:
        """Text, binary, or an object as JSON; waits while the server does not read."""
        try:
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_str(message if isinstance(message, str) else json.dumps(message))
        except (OSError, aiohttp.ClientError) as error:
            self._on_broken()
            raise ProviderUnavailable(self._provider, "the connection has broken") from error

    async def receive(self) -> Received | None:
        """The next message; None once the server has closed the connection in good order.

        Raises:
            ProviderUnavailable: it broke, or the server closed it for an error of its own.
        """
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: Received = message.data
            return data
        if self._socket.close_code in (aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY):
            return None
        self._on_broken()
        raise ProviderUnavailable(self._provider, f"the connection has broken (code {self._socket.close_code})")

    async def close(self) -> None:
        """Ends it; the server's own part in closing is not waited for long. Harmless when repeated. Never raises."""
        await self._socket.close()


class WebSocketServer:
    """Opens connections to one URL, and asks from `start` to `close` whether there is a server."""

    def __init__(self, provider: str, url: str, timeout_s: float) -> None:
        self.provider = provider
        self._url = url
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._watch = ReadinessWatch(provider, self._ask)

    @property
    def ready(self) -> bool:
        return self._watch.ready

    def start(self) -> None:
        """Needs a running loop."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._watch.start()

    async def connect(self) -> WebSocketConnection:
        """A new connection.

        Raises:
            ProviderUnavailable: the server is away, busy, or does not answer in time.
            ProviderRejected: there is no such server at this URL, or not for us.
        """
        try:
            return await self._connect()
        except (ProviderUnavailable, ProviderRejected):
            self._watch.doubt()
            raise

    async def close(self) -> None:
        await self._watch.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self) -> None:
        await (await self._connect()).close()

    async def _connect(self) -> WebSocketConnection:
        if self._session is None:
            raise ProviderUnavailable(self.provider, "the provider is closed")
        try:
            async with asyncio.timeout(self._timeout_s):
                socket = await self._session.ws_connect(
                    self._url,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MESSAGE_MAX_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                )
        except TimeoutError as error:
            raise ProviderUnavailable(self.provider, "the server does not answer") from error
        except aiohttp.WSServerHandshakeError as error:
            kind = ProviderRejected if error.status in _REFUSED_FOR_GOOD else ProviderUnavailable
            raise kind(self.provider, f"the server refuses the connection: {error.status} {error.message}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderUnavailable(self.provider, "the server is not reached") from error
        return WebSocketConnection(self.provider, socket, self._watch.doubt)
