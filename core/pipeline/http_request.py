"""Sends a call of the operator's tool to their server. Nothing of one request is kept for the next."""

import asyncio

import aiohttp
from yarl import URL

from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.tools import Fetch
from core.errors import ConnectorError


class RequestFailed(ConnectorError):
    """No usable answer came. Says why, and quotes nothing of it."""


async def request(asked: Fetch) -> str:
    """The text that the server answers.

    Raises:
        RequestFailed: it cannot be reached, is too slow, redirects, refuses, or answers with something that is too
            long or no UTF-8 text.
    """
    tool = asked.tool
    try:
        async with (
            asyncio.timeout(tool.timeout_s),
            aiohttp.ClientSession(
                auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout()
            ) as session,
            session.request(
                tool.method,
                URL(asked.address, encoded=True),
                headers=_headers(tool),
                json=dict(asked.arguments) if tool.method == "POST" else None,
                # The token is for this server, not for whom it names.
                allow_redirects=False,
            ) as response,
        ):
            if not 200 <= response.status < 300:
                raise RequestFailed(f"the server answered {response.status}")
            return _text(await _body(response.content, tool.max_response_bytes))
    except TimeoutError as error:
        raise RequestFailed("the server took too long") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise RequestFailed(type(error).__name__) from error


def _headers(tool: HttpToolSettings) -> dict[str, str]:
    headers = {"Accept": "application/json, text/plain", "Accept-Encoding": "identity"}
    if tool.token is not None:
        token = tool.token.get_secret_value()
        headers[tool.header] = f"Bearer {token}" if tool.header.lower() == "authorization" else token
    return headers


async def _body(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > max_bytes:
            # Half an answer may state the opposite of the whole.
            raise RequestFailed("the answer is too long")
    return bytes(body)


def _text(body: bytes) -> str:
    try:
        return " ".join(body.decode("utf-8").split())
    except UnicodeDecodeError as error:
        raise RequestFailed("the answer is no UTF-8 text") from error
