"""Requests to the operator's server, which may be slow, wrong or hostile."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.tools import Fetch
from core.pipeline.effects import REQUEST_FAILED, Effects, Requests
from core.pipeline.http_request import RequestFailed, request

PARAMETERS = '{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers every request by a handler; gives its address."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        async def respond(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", respond)
        servers.append(TestServer(application, host="127.0.0.1"))
        await servers[-1].start_server(shutdown_timeout=0.1)
        return str(servers[-1].make_url("/")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


def _asked(base: str, order: str = "4711", **settings: Any) -> Fetch:
    settings = {"url": f"{base}/orders/{{order}}", "timeout_s": 2.0} | settings
    tool = HttpToolSettings.model_validate(
        {"name": "order_status", "description": "Says.", "parameters": PARAMETERS} | settings
    )
    return Fetch(tool, {"order": order}, tool.address({"order": order}))


async def test_the_answer_of_the_server_is_the_result(serve: Serve) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"status": "on its way", "days": 2})

    assert await request(_asked(await serve(handler), "a/b ?")) == '{"status": "on its way", "days": 2}'
    assert seen[0].method == "GET"
    assert seen[0].raw_path == "/orders/a%2Fb%20%3F"
    assert "Authorization" not in seen[0].headers


@pytest.mark.parametrize(("header", "sent"), [("Authorization", "Bearer s3cret"), ("X-Api-Key", "s3cret")])
async def test_a_post_sends_its_arguments_and_the_token(serve: Serve, header: str, sent: str) -> None:
    bodies: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        bodies.append(request.headers[header])
        return web.Response(status=204)

    asked = _asked(await serve(handler), method="POST", header=header, token="s3cret")

    assert await request(asked) == ""
    assert bodies == [{"order": "4711"}, sent]


async def test_a_slow_server_is_not_waited_for(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        # It goes on sending, so that no pause of it is ever long.
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    with pytest.raises(RequestFailed, match="too long"):
        await asyncio.wait_for(request(_asked(await serve(handler), timeout_s=0.2)), 1.0)


async def test_a_huge_answer_is_cut_off(serve: Serve) -> None:
    written = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"x" * 10_000)
            written += 10_000
        return response

    with pytest.raises(RequestFailed, match="too long"):
        await request(_asked(await serve(handler)))
    assert written < 50_000_000


async def test_compressed_answers_are_not_inflated(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=gzip.compress(bytes(100_000_000)), headers={"Content-Encoding": "gzip"})

    with pytest.raises(RequestFailed):
        await request(_asked(await serve(handler), max_response_bytes=65536))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    elsewhere: list[str] = []

    async def other(request: web.Request) -> web.Response:
        elsewhere.append(request.headers.get("Authorization", ""))
        return web.Response(text="5 euros")

    target = await serve(other)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    with pytest.raises(RequestFailed, match=str(status)):
        await request(_asked(await serve(handler), token="s3cret"))
    assert not elsewhere


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_refusal_is_a_failure_whatever_it_says(serve: Serve, status: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text="It costs 5 euros.")

    with pytest.raises(RequestFailed, match=f"answered {status}"):
        await request(_asked(await serve(handler)))


async def test_what_is_no_text_is_a_failure(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xfe5 euros", content_type="text/plain")

    with pytest.raises(RequestFailed, match="UTF-8"):
        await request(_asked(await serve(handler)))


async def test_a_connection_that_breaks_off_is_a_failure(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(RequestFailed):
        await request(_asked(await serve(handler)))


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(RequestFailed):
        await request(_asked(f"http://127.0.0.1:{unused_port()}"))


async def test_no_cookie_of_one_caller_is_sent_for_the_next(serve: Serve) -> None:
    cookies: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie", ""))
        return web.Response(text="ok", headers={"Set-Cookie": "caller=1"})

    asked = _asked(await serve(handler))
    await request(asked)
    await request(asked)

    assert cookies == ["", ""]


class _Counting:
    """Answers once it is told to, and counts."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.count = 0
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        self.count += 1
        self.asked.set()
        await self.answer.wait()
        return web.Response(status=self.status, text="Booked.")


async def test_a_request_whose_reply_was_dropped_is_not_sent_again(serve: Serve) -> None:
    handler, requests, effects = _Counting(), Requests(), Effects()
    asked = _asked(await serve(handler), method="POST")
    dropped = asyncio.create_task(requests.fetch(asked, effects))
    await handler.asked.wait()
    dropped.cancel()
    await asyncio.wait({dropped})

    again = asyncio.create_task(requests.fetch(asked, effects))
    handler.answer.set()
    result = await again

    assert (result.outcome, result.text, handler.count) == ("repeated", "Booked.", 1)


async def test_other_arguments_and_other_questions_ask_anew(serve: Serve) -> None:
    handler, requests, effects = _Counting(), Requests(), Effects()
    handler.answer.set()
    base = await serve(handler)

    await requests.fetch(_asked(base, "1"), effects)
    await requests.fetch(_asked(base, "2"), effects)
    await requests.fetch(_asked(base, "1"), Effects())

    assert handler.count == 3


@pytest.mark.parametrize(("method", "count"), [("GET", 2), ("POST", 1)])
async def test_only_a_request_that_changes_nothing_is_tried_again(serve: Serve, method: str, count: int) -> None:
    handler, requests, effects = _Counting(500), Requests(), Effects()
    handler.answer.set()
    asked = _asked(await serve(handler), method=method)

    first = await requests.fetch(asked, effects)
    second = await requests.fetch(asked, effects)

    assert (first.outcome, first.text, first.is_fact) == ("failed", REQUEST_FAILED, False)
    assert (second.text, handler.count) == (REQUEST_FAILED, count)


async def test_the_end_of_the_call_ends_its_requests(serve: Serve) -> None:
    handler, requests = _Counting(), Requests()
    waiting = asyncio.create_task(requests.fetch(_asked(await serve(handler), timeout_s=10), Effects()))
    await handler.asked.wait()

    await asyncio.wait_for(requests.stop(), 1.0)

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "http tool"]


async def test_a_failure_is_logged_without_argument_address_or_token(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    handler = _Counting(500)
    handler.answer.set()
    with caplog.at_level(logging.DEBUG, "core"):
        await Requests().fetch(_asked(await serve(handler), token="s3cret"), Effects())

    logged = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("core"))
    assert "order_status" in logged
    assert "4711" not in logged
    assert "s3cret" not in logged
