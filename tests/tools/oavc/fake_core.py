"""A core's management interface, with the calls it is told of."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


def turn(heard: str, said: str, **more: Any) -> dict[str, Any]:
    stages = {"endpoint": 400.0, "recognition": 90.0, "total": 490.0}
    return {
        "heard": heard,
        "said": said,
        "spoken": said,
        "source": "knowledge",
        "interrupted": False,
        "interrupted_at": None,
        "stages_ms": stages,
    } | more


def call(caller: str, turns: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "call_id": f"id-{caller}",
        "transport": "opensips",
        "caller": caller,
        "called": "reception",
        "started_at": time.time(),
        "ended_at": None,
        "end_reason": None,
        "turns": turns,
        "media": {},
    } | more


class FakeCore:
    """What it answers is changed by the test."""

    def __init__(self) -> None:
        self.active: list[dict[str, Any]] = []
        self.recent: list[dict[str, Any]] = []
        self.reasons: list[str] = []
        self.token = ""

    async def ready(self, request: web.Request) -> web.Response:
        if self.reasons:
            return web.json_response({"status": "not ready", "reasons": self.reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def calls(self, request: web.Request) -> web.Response:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        return web.json_response({"calls": self.recent if request.path.endswith("recent") else self.active})


@asynccontextmanager
async def serving(core: FakeCore) -> AsyncIterator[str]:
    """The interface's URL."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/health/ready", core.ready),
            web.get("/api/v1/calls", core.calls),
            web.get("/api/v1/calls/recent", core.calls),
        ]
    )
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")
