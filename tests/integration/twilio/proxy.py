"""A reverse proxy as it stands in front of core: ends TLS in name, takes a prefix away, and says so in headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

PUBLIC_HOST = "voice.example.com"
PREFIX = "/oavc"
PUBLIC_URL = f"https://{PUBLIC_HOST}{PREFIX}"
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})


@asynccontextmanager
async def proxy_before(core_url: str) -> AsyncIterator[str]:
    """Its own address, below which core is found."""
    async with aiohttp.ClientSession() as session:
        proxy = _Proxy(core_url, session)
        application = web.Application()
        application.router.add_route("*", f"{PREFIX}/{{path:.*}}", proxy.forward)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
        finally:
            await runner.cleanup()


class _Proxy:
    def __init__(self, core_url: str, session: aiohttp.ClientSession) -> None:
        self._core_url = core_url
        self._session = session

    async def forward(self, request: web.Request) -> web.StreamResponse:
        url = self._core_url + request.raw_path.removeprefix(PREFIX)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OWN_HEADERS and not name.lower().startswith(("x-forwarded-", "sec-websocket-"))
        }
        headers |= {"X-Forwarded-Proto": "https", "X-Forwarded-Host": PUBLIC_HOST, "X-Forwarded-Prefix": PREFIX}
        if "upgrade" in request.headers:
            return await self._carry(request, url, headers)
        body = await request.read()
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    async def _carry(self, request: web.Request, url: str, headers: dict[str, str]) -> web.StreamResponse:
        try:
            inner = await self._session.ws_connect(url, headers=headers)
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        outer = web.WebSocketResponse()
        await outer.prepare(request)

        async def outwards() -> None:
            async for message in inner:
                await outer.send_str(message.data)
            await outer.close()

        async def inwards() -> None:
            async for message in outer:
                await inner.send_str(message.data)
            await inner.close()

        await asyncio.gather(outwards(), inwards(), return_exceptions=True)
        return outer
