"""The language model behind an Ollama server (github.com/ollama/ollama, docs/api.md)."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, cast
from urllib.parse import unquote, urlsplit

import httpx
import ollama
from pydantic import SecretStr

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated, GenerationParameters, Message, Tool, ToolCall
from core.providers.llm.answer_limit import limit_answer
from core.providers.llm.attempts import NoWords, UselessToRepeat, pieces
from core.providers.llm.tool_call_deltas import new_call_id
from core.providers.llm.warming import warm
from core.providers.readiness import ReadinessWatch
from core.providers.server_text import server_text
from core.providers.settings import LlmSettings
from services.common.settings import Section, key

NAME = "ollama"
CONNECT_TIMEOUT_S = 5.0
READINESS_TIMEOUT_S = 5.0
# As long as Ollama itself waits for a model to load.
LOAD_TIMEOUT_S = 300.0
# They tell of every request, the readiness watch's included.
TALKATIVE_LOGGERS = ("httpx", "httpcore")
_DURATION = r"(\d+(\.\d+)?(ms|s|m|h))+"


class OllamaSettings(Section):
    section: ClassVar[str] = "llm.ollama"
    url: str = key(
        "http://127.0.0.1:11434",
        env="OLLAMA_HOST",
        pattern=r"^(https?://)?[^\s/]+(/\S*)?$",
        help="Where Ollama listens; scheme and port may be left out",
    )
    api_key: SecretStr = key(
        SecretStr(""), env="OLLAMA_API_KEY", secret=True, help="Key that a proxy before Ollama wants; empty: none"
    )
    model: str = key(..., env="OLLAMA_MODEL", min_length=1, help="Model that answers, as `ollama list` names it")
    keep_alive: str = key(
        "30m",
        env="OLLAMA_KEEP_ALIVE",
        pattern=rf"^-?(\d+(\.\d+)?|{_DURATION})$",
        help="How long the model stays in memory after its last use; seconds or 1h30m, -1 for ever",
    )
    num_ctx: int | None = key(
        None, ge=512, le=1048576, unit="tokens", help="Context; unset: the model's or Ollama's own"
    )


class OllamaGenerator:
    """Generation by the server at `[llm.ollama] url`. The model is loaded at the start, before any call needs it."""

    name = NAME

    def __init__(self, settings: LlmSettings, own: OllamaSettings) -> None:
        self._settings = settings
        self._own = own
        # What the model can, as Ollama tells since 0.6.4.
        self._capabilities: frozenset[str] = frozenset()
        self._loaded = False
        api_key = own.api_key.get_secret_value()
        self._client = ollama.AsyncClient(
            own.url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
            auth=None if api_key else _credentials(own.url),
            event_hooks={"response": [limit_answer]},
            # Each use has a limit of its own beside that.
            timeout=httpx.Timeout(None, connect=min(CONNECT_TIMEOUT_S, settings.timeout)),
        )
        self._readiness = ReadinessWatch(NAME, self._ask)
        self._readiness.start()

    @property
    def ready(self) -> bool:
        return self._readiness.ready

    @property
    def calls_tools(self) -> bool:
        """As the model can; known once it is loaded."""
        return "tools" in self._capabilities

    def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        begin = partial(self._begin, messages, parameters, tools)
        return pieces(NAME, begin, self._settings.timeout, self._settings.max_retries)

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """One token is asked for: a model that was put out of memory is back, with the opening in its cache."""
        await warm(self, messages, session_id, tools)

    async def end_session(self, session_id: str) -> None:
        """The protocol knows no sessions."""

    async def close(self) -> None:
        await self._readiness.close()
        # The library annotates nothing here.
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _begin(
        self, messages: Sequence[Message], parameters: GenerationParameters, tools: Sequence[Tool]
    ) -> AsyncGenerator[Generated, None]:
        options = {
            **self._load_options(),
            "num_predict": parameters.max_tokens,
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "stop": list(parameters.stop),
        }
        silent = True
        try:
            stream = await self._client.chat(
                self._own.model,
                _messages(messages),
                tools=[_tool(tool) for tool in tools],
                stream=True,
                # Thoughts would not be spoken, but waited for. Some versions refuse the word for models that have none.
                think=False if "thinking" in self._capabilities else None,
                options=options,
                keep_alive=_keep_alive(self._own.keep_alive),
            )
            # Leaving early closes the connection, which stops the generation on the other side.
            async with aclosing(cast(AsyncGenerator[ollama.ChatResponse, None], stream)) as responses:
                async for response in responses:
                    if response.message.content:
                        silent = False
                        yield response.message.content
                    for call in response.message.tool_calls or ():
                        silent = False
                        yield ToolCall(new_call_id(), call.function.name, dict(call.function.arguments))
                    if response.done:
                        if silent and response.done_reason == "length":
                            raise NoWords(NAME)
                        return
        except (ollama.ResponseError, OSError, httpx.HTTPError) as error:
            self._doubt()
            raise _provider_error(error, messages) from error
        except (ValueError, AttributeError) as error:
            # Neither the library nor pydantic behind it lets pass what is no chat response.
            raise UselessToRepeat(NAME, "the answer is no stream of chat responses") from error
        self._doubt()
        raise ProviderUnavailable(NAME, "the answer broke off")

    async def _ask(self) -> None:
        """Whether the model is there; it is loaded at the first time, and again after the server was away."""
        try:
            async with asyncio.timeout(READINESS_TIMEOUT_S):
                here = await self._client.list()
            if _full_name(self._own.model) not in {model.model for model in here.models}:
                self._loaded = False
                raise ProviderUnavailable(
                    NAME, f"{self._own.model} is not there; get it with: oavc models ollama pull {self._own.model}"
                )
            if not self._loaded:
                await self._load()
                self._loaded = True
        except TimeoutError as error:
            self._loaded = False
            raise ProviderTimeout(NAME, "the server does not answer") from error
        except (ollama.ResponseError, OSError, httpx.HTTPError) as error:
            self._loaded = False
            raise _provider_error(error, ()) from error
        except (ValueError, AttributeError) as error:
            raise ProviderUnavailable(NAME, "what answers is no Ollama") from error

    async def _load(self) -> None:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            shown = await self._client.show(self._own.model)
            self._capabilities = frozenset(shown.capabilities or ())
            await self._client.generate(
                self._own.model, options=self._load_options(), keep_alive=_keep_alive(self._own.keep_alive)
            )

    def _load_options(self) -> Mapping[str, Any]:
        """A request with another context than the last one's would load the model anew."""
        return {} if self._own.num_ctx is None else {"num_ctx": self._own.num_ctx}

    def _doubt(self) -> None:
        self._loaded = False
        self._readiness.doubt()


def _credentials(url: str) -> httpx.BasicAuth | None:
    """Those in the URL, which the library drops."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return httpx.BasicAuth(unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _keep_alive(text: str) -> float | str:
    """Ollama takes a text for a duration with a unit, and a number for seconds."""
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text


def _full_name(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A tool's result carries the tool's name, where other protocols have the call's id."""
    names = {call.call_id: call.name for message in messages for call in message.tool_calls}
    wire: list[dict[str, Any]] = []
    for message in messages:
        each: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            each["tool_calls"] = [
                {"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in message.tool_calls
            ]
        if message.role == "tool":
            each["tool_name"] = names.get(message.tool_call_id, "")
        wire.append(each)
    return wire


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _provider_error(error: Exception, messages: Sequence[Message]) -> ProviderError:
    if isinstance(error, ollama.ResponseError):
        text = server_text(error.error, messages)
        if error.status_code == 429:
            return UselessToRepeat(NAME, f"429: {text}")
        if 400 <= error.status_code < 500:
            return ProviderRejected(NAME, f"{error.status_code}: {text}")
        # An error within the answer has no status.
        return ProviderUnavailable(NAME, text if error.status_code < 0 else f"{error.status_code}: {text}")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return ProviderTimeout(NAME, "the server does not answer")
    return ProviderUnavailable(NAME, f"not reached, or cut off: {server_text(error, messages)}")


def build(settings: LlmSettings, own: OllamaSettings) -> OllamaGenerator:
    for name in TALKATIVE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return OllamaGenerator(settings, own)


SETTINGS = OllamaSettings
