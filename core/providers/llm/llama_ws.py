"""The language model behind a Llama WebSocket server: one JSON text message a request, JSON text messages in reply."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from core.errors import ProviderUnavailable
from core.providers.base import Generated, GenerationParameters, Message, Tool
from core.providers.llm.attempts import UselessToRepeat, pieces
from core.providers.llm.warming import warm
from core.providers.server_text import server_text
from core.providers.settings import LlmSettings
from core.providers.web_socket import WebSocketConnection, WebSocketServer
from services.common.settings import Section, key

NAME = "llama_ws"
CONNECT_TIMEOUT_S = 5.0
# A server that generates without listening would have whoever interrupts it wait.
LEAVE_TIMEOUT_S = 0.1
SPEAKERS = {"user": "User", "assistant": "Assistant"}


class LlamaWsSettings(Section):
    section: ClassVar[str] = "llm.llama_ws"
    url: str = key(
        "ws://localhost:8765", env="LLAMA_URL", pattern=r"^wss?://[^\s/]", help="Where the Llama server listens"
    )
    form: Literal["messages", "prompt"] = key(
        "messages", help="Form of a request: the conversation as messages, or, for older servers, as one prompt"
    )
    use_rag: bool = key(False, help="Whether the server looks into its own documents first; with messages only")


class LlamaWsGenerator:
    """Generation by the server at `[llm.llama_ws] url`, over a connection of its own for each request.

    The protocol has no word for "stop": closing the connection is what ends an answer, and with it all that a
    kept connection would be good for. It has no word for `GenerationParameters.stop` either.
    """

    name = NAME
    calls_tools = False

    def __init__(self, settings: LlmSettings, own: LlamaWsSettings) -> None:
        self._settings = settings
        self._own = own
        self._server = WebSocketServer(NAME, own.url, CONNECT_TIMEOUT_S)
        self._server.start()

    @property
    def ready(self) -> bool:
        return self._server.ready

    def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        begin = partial(self._begin, messages, parameters)
        return pieces(NAME, begin, self._settings.timeout, self._settings.max_retries)

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """One token is asked for: the server then has the opening in its cache."""
        await warm(self, messages, session_id)

    async def end_session(self, session_id: str) -> None:
        """The protocol knows no sessions."""

    async def close(self) -> None:
        await self._server.close()

    async def _begin(
        self, messages: Sequence[Message], parameters: GenerationParameters
    ) -> AsyncGenerator[Generated, None]:
        connection = await self._server.connect()
        try:
            await connection.send(self._request(messages, parameters))
            done = False
            while not done:
                reply = await _reply(connection, messages)
                done = bool(reply.get("done"))
                if text := reply.get("chunk"):
                    yield str(text)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await connection.close()

    def _request(self, messages: Sequence[Message], parameters: GenerationParameters) -> dict[str, Any]:
        if self._own.form == "prompt":
            return {
                "prompt": _prompt(messages),
                "system_prompt": _system_prompt(messages),
                "temperature": parameters.temperature,
                "max_tokens": parameters.max_tokens,
                "top_p": parameters.top_p,
            }
        return {
            "messages": [{"role": each.role, "content": each.content} for each in _spoken(messages)],
            "temperature": parameters.temperature,
            "max_tokens": parameters.max_tokens,
            "stream": True,
            "use_rag": self._own.use_rag,
        }


async def _reply(connection: WebSocketConnection, messages: Sequence[Message]) -> dict[str, Any]:
    """The next reply; one that holds neither words nor the end, such as `rag_context`, is for information only."""
    message = await connection.receive()
    if message is None:
        raise ProviderUnavailable(NAME, "the answer broke off")
    try:
        reply = json.loads(message) if isinstance(message, str) else None
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise UselessToRepeat(NAME, "the reply is no JSON object in a text message")
    if reply.get("error"):
        raise ProviderUnavailable(NAME, server_text(reply["error"], messages))
    return reply


def _spoken(messages: Sequence[Message]) -> list[Message]:
    """What was said; the server knows no tools."""
    return [message for message in messages if message.role != "tool" and message.content]


def _system_prompt(messages: Sequence[Message]) -> str:
    return "\n\n".join(message.content for message in messages if message.role == "system")


def _prompt(messages: Sequence[Message]) -> str:
    """A single question as it is; a conversation as lines that name who speaks."""
    turns = [message for message in _spoken(messages) if message.role in SPEAKERS]
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{SPEAKERS[turn.role]}: {turn.content}" for turn in turns)


def build(settings: LlmSettings, own: LlamaWsSettings) -> LlamaWsGenerator:
    return LlamaWsGenerator(settings, own)


SETTINGS = LlamaWsSettings
