"""An HTTP server in this process that can die, cutting every connection off, and return on its port."""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from aiohttp import web

from core.providers.llm.grpc import GrpcGenerator
from core.providers.settings import LlmSettings
from tests.support.standins.script import Script, asking


class HttpStandIn:
    """Serves from `start` to `die`, as often as wanted, always on the same port of 127.0.0.1.

    Attributes:
        script: how it answers.
        connections: how many there were so far.
    """

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.port = port
        self.connections = 0
        self._open: set[asyncio.BaseTransport] = set()
        self._runner: web.AppRunner | None = None

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections_open(self) -> int:
        return sum(not each.is_closing() for each in self._open)

    async def start(self) -> None:
        application = web.Application(middlewares=[self._note_connection])
        application.add_routes(self.routes())
        # Whoever hangs up has the work on the answer stopped, as the servers stood in for do.
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def die(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            for connection in self._open:
                cut(connection)
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    @web.middleware
    async def _note_connection(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is not None and transport not in self._open:
            self._open = {each for each in self._open if not each.is_closing()} | {transport}
            self.connections += 1
        return await handler(request)


def cut(connection: asyncio.BaseTransport | None) -> None:
    """Ends the connection as a process that is killed does."""
    if isinstance(connection, asyncio.Transport):
        connection.abort()


def serve(make: Callable[[Script, int], HttpStandIn], description: str, default_port: int) -> None:
    """The stand-in on the command line, until it is interrupted."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=default_port)
    parser.add_argument("--ask", metavar="HOST:PORT", help="let the language model service that listens there answer")
    options = parser.parse_args()

    async def run() -> None:
        script = Script()
        async with contextlib.AsyncExitStack() as stack:
            if options.ask:
                host, _, port = options.ask.rpartition(":")
                generator = GrpcGenerator(LlmSettings(host=host, port=int(port)))
                stack.push_async_callback(generator.close)
                script.answer = asking(generator)
            server = await stack.enter_async_context(make(script, options.port))
            print(f"listening on {server.url}", flush=True)  # noqa: T201
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
