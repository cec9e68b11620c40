"""The client's end of one WebSocket, for a thread that serves many: handshake on the event loop, then no waiting."""

import asyncio
import socket
import time
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN
from websockets.uri import parse_uri

from tools.caller import kernel_time

_READ_BYTES = 65536
_MAX_MESSAGE_BYTES = 1 << 20
# A peer that reads nothing for so long is gone.
_UNSENT_BYTES_MAX = 1 << 20


class StreamRefusedError(Exception):
    """The server did not take the socket; the text says how it answered."""


class StreamSocket:
    """An open WebSocket over a non-blocking TCP connection. For one thread at a time."""

    def __init__(self, protocol: ClientProtocol, connection: socket.socket) -> None:
        self._protocol = protocol
        self._unsent = bytearray()
        self._text = bytearray()
        self.connection = connection
        self.ended = False

    def read(self) -> tuple[list[str], int]:
        """The text messages that have come, and when. `ended` is set once no more will."""
        at_ns = self._receive()
        texts: list[str] = []
        # Some may have come together with the end of the handshake.
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event, texts)
        self.flush()
        return texts, at_ns

    def send(self, text: str) -> None:
        if not self.ended and self._protocol.state is OPEN:
            self._protocol.send_text(text.encode())
            self.flush()

    def flush(self) -> None:
        """Sends what the network takes now."""
        self._unsent += b"".join(self._protocol.data_to_send())
        if len(self._unsent) > _UNSENT_BYTES_MAX:
            self.ended = True
        while self._unsent and not self.ended:
            try:
                del self._unsent[: self.connection.send(self._unsent)]
            except BlockingIOError:
                return
            except OSError:
                self.ended = True

    @property
    def stuck(self) -> bool:
        """Whether something waits for the network to take it."""
        return bool(self._unsent)

    def close(self) -> None:
        """Says so to the server, as far as it listens."""
        if not self.ended and self._protocol.state is OPEN:
            self._protocol.send_close(1000)
            self.flush()
        self.ended = True
        self.connection.close()

    def _receive(self) -> int:
        try:
            data, ancillary, _, _ = self.connection.recvmsg(_READ_BYTES, kernel_time.ANCILLARY_BYTES)
        except BlockingIOError:
            return time.time_ns()
        except OSError:
            self.ended = True
            return time.time_ns()
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            self.ended = True
        return kernel_time.received_ns(ancillary)

    def _frame(self, frame: Frame, texts: list[str]) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.ended = True
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._text += frame.data
            if frame.fin:
                texts.append(self._text.decode())
                self._text.clear()


async def open_socket(url: str, host: str, port: int, headers: Mapping[str, str], timeout_s: float) -> StreamSocket:
    """Connects to an address, asking for a URL that may name another one, as behind a proxy.

    Raises:
        OSError: nobody listens, or nobody answers in time.
        StreamRefusedError: the server does not switch protocols.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kernel_time.stamp(connection)
        protocol = ClientProtocol(parse_uri(url), max_size=_MAX_MESSAGE_BYTES)
        request = protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        protocol.send_request(request)
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(connection, (host, port))
            await loop.sock_sendall(connection, b"".join(protocol.data_to_send()))
            while protocol.state is CONNECTING and protocol.handshake_exc is None:
                data = await loop.sock_recv(connection, _READ_BYTES)
                if data:
                    protocol.receive_data(data)
                else:
                    protocol.receive_eof()
    except BaseException:
        connection.close()
        raise
    if protocol.handshake_exc is not None:
        connection.close()
        raise StreamRefusedError(_refusal(protocol.handshake_exc)) from protocol.handshake_exc
    return StreamSocket(protocol, connection)


def _refusal(error: Exception) -> str:
    return str(error) if isinstance(error, InvalidHandshake) else f"no handshake: {error or type(error).__name__}"
