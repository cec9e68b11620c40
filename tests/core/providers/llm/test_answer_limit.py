"""Answers over HTTP that do not end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from core.errors import ProviderUnavailable
from core.providers.base import GenerationParameters, Message
from core.providers.llm import answer_limit
from core.providers.llm.ollama import OllamaGenerator
from core.providers.llm.openai import OpenAiGenerator
from tests.contract.backend import WAIT_S
from tests.contract.llm_servers import OverOllama, OverOpenAi, Served

PIECE = bytes(65536)


@pytest.fixture
async def endless() -> AsyncIterator[int]:
    """The port of a server whose every answer is one line without end."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
            while True:
                writer.write(PIECE)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("served", [OverOllama, OverOpenAi])
async def test_an_answer_without_end_is_given_up_before_it_fills_memory(
    endless: int, served: type[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_limit, "ANSWER_MAX_BYTES", 10 * len(PIECE))
    provider = served.make_generator(endless, timeout=1.0)
    assert isinstance(provider, OllamaGenerator | OpenAiGenerator)
    pieces = provider.generate((Message("user", "Hello."),), GenerationParameters(), "s")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ProviderUnavailable, match="is no stream of"):
            await anext(pieces)
        with pytest.raises(ProviderUnavailable):
            await provider._ask()
    await provider.close()
