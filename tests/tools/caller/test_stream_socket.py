"""The client's end of a WebSocket, against servers that behave and servers that do not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import BaseTestServer, TestServer
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from tests.tools.caller.scripted_agent import until
from tools.caller.stream_socket import StreamRefusedError, StreamSocket, open_socket

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


async def connect(server: BaseTestServer) -> StreamSocket:
    assert server.port is not None
    return await open_socket(f"ws://127.0.0.1:{server.port}/", "127.0.0.1", server.port, {"X-Asked-By": "test"}, 2.0)


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[StreamSocket]:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Asked-By"] == "test"
        response = web.WebSocketResponse(autoping=False)
        await response.prepare(request)
        await serve(response)
        return response

    application = web.Application()
    application.router.add_get("/", handle)
    async with TestServer(application, host="127.0.0.1") as server:
        web_socket = await connect(server)
        try:
            yield web_socket
        finally:
            web_socket.close()


async def read(web_socket: StreamSocket, count: int) -> list[str]:
    texts: list[str] = []

    def enough() -> bool:
        if not web_socket.ended:
            texts.extend(web_socket.read()[0])
        return web_socket.ended or len(texts) >= count

    await until(enough)
    return texts


async def test_texts_go_both_ways_and_have_the_kernels_time() -> None:
    async def echo(response: web.WebSocketResponse) -> None:
        async for message in response:
            await response.send_str(message.data * 2)

    async with served(echo) as web_socket:
        web_socket.send("ab")
        assert await read(web_socket, 1) == ["abab"]
        web_socket.send("c")
        at_ns = 0

        def came() -> bool:
            nonlocal at_ns
            texts, at_ns = web_socket.read()
            return bool(texts)

        await until(came)
        assert at_ns > 1_700_000_000_000_000_000


async def test_message_in_pieces_is_put_together() -> None:
    async def in_pieces(response: web.WebSocketResponse) -> None:
        whole = ServerProtocol(state=OPEN)
        whole.send_text(b"one ", fin=False)
        whole.send_continuation(b"two", fin=True)
        transport = response._req.transport if response._req is not None else None
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"".join(whole.data_to_send()))
        await response.receive()

    async with served(in_pieces) as web_socket:
        assert await read(web_socket, 1) == ["one two"]


async def test_ping_is_answered_unasked() -> None:
    answered = asyncio.Event()

    async def ping(response: web.WebSocketResponse) -> None:
        await response.ping(b"there?")
        kinds: set[WSMsgType] = set()
        while kinds != {WSMsgType.PONG, WSMsgType.TEXT}:
            kinds.add((await response.receive()).type)
        answered.set()

    async with served(ping) as web_socket:
        web_socket.send("after")

        def done() -> bool:
            web_socket.read()
            return answered.is_set()

        await until(done)


@pytest.mark.parametrize("politely", [True, False])
async def test_end_of_the_socket_is_noticed(politely: bool) -> None:
    async def leave(response: web.WebSocketResponse) -> None:
        if politely:
            await response.close()
        else:
            assert response._req is not None
            assert response._req.transport is not None
            response._req.transport.abort()

    async with served(leave) as web_socket:
        assert await read(web_socket, 1) == []
        assert web_socket.ended
        web_socket.send("too late")
        web_socket.flush()


async def test_server_that_reads_nothing_ends_the_socket_rather_than_fill_the_memory() -> None:
    forever = asyncio.Event()

    async def deaf(response: web.WebSocketResponse) -> None:
        assert response._req is not None
        transport = response._req.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        await forever.wait()
        transport.abort()

    async with served(deaf) as web_socket:
        for _ in range(2000):
            web_socket.send("x" * 16384)
            if web_socket.ended:
                break
        assert web_socket.stuck
        assert web_socket.ended
        forever.set()


async def test_server_that_refuses_is_quoted() -> None:
    async with TestServer(web.Application(), host="127.0.0.1") as server:
        with pytest.raises(StreamRefusedError, match="404"):
            await connect(server)


async def test_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TimeoutError):
            await open_socket(f"ws://127.0.0.1:{port}/", "127.0.0.1", port, {}, 0.1)


async def test_server_that_speaks_no_http_is_refused() -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SIP/2.0 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StreamRefusedError):
            await open_socket(f"ws://127.0.0.1:{port}/", "127.0.0.1", port, {}, 2.0)
