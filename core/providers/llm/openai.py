"""The language model behind any server that speaks OpenAI's chat completions (POST /chat/completions, streamed)."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import openai
from openai.types.chat import ChatCompletionChunk
from pydantic import SecretStr, field_validator

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated, GenerationParameters, Message, Tool
from core.providers.llm.answer_limit import limit_answer
from core.providers.llm.attempts import NoWords, UselessToRepeat, pieces
from core.providers.llm.tool_call_deltas import NoToolCall, ToolCallDeltas
from core.providers.llm.warming import ONE_TOKEN, warm
from core.providers.readiness import ReadinessWatch
from core.providers.server_text import server_text
from core.providers.settings import LlmSettings
from services.common.settings import Section, key

log = logging.getLogger(__name__)

NAME = "openai"
CONNECT_TIMEOUT_S = 5.0
READINESS_TIMEOUT_S = 5.0
# How OpenAI says that a model does not take a parameter, or not this value; models that think take few of them.
UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
# What such models take in the place of max_tokens.
NEWER_LIMIT = "max_completion_tokens"
# They tell of every request, the readiness watch's included.
TALKATIVE_LOGGERS = ("openai", "httpx2", "httpcore2", "httpx", "httpcore")


class OpenAiSettings(Section):
    section: ClassVar[str] = "llm.openai"
    url: str = key(
        "https://api.openai.com/v1",
        env="OPENAI_BASE_URL",
        pattern=r"^https?://[^\s/]",
        help="Base URL of the server, as its documentation gives it; it mostly ends in /v1",
    )
    api_key: SecretStr = key(
        SecretStr(""), env="OPENAI_API_KEY", secret=True, help="Key that the server wants; empty: none is sent"
    )
    model: str = key(..., env="OPENAI_MODEL", min_length=1, help="Model that answers, as the server names it")
    extra_body: str = key(
        "{}", help="JSON object put over each request, for what only this server knows; null takes its own default"
    )

    @field_validator("extra_body")
    @classmethod
    def _is_object(cls, text: str) -> str:
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ValueError("must be a JSON object")
        return text


class OpenAiGenerator:
    """Generation by the server at `[llm.openai] url`."""

    name = NAME
    calls_tools = True

    def __init__(self, settings: LlmSettings, own: OpenAiSettings) -> None:
        self._settings = settings
        self._model = own.model
        self._extra_body: Mapping[str, Any] = json.loads(own.extra_body)
        api_key = own.api_key.get_secret_value()
        # Of the parameters, those that the model does not take.
        self._refused: set[str] = set()
        self._headers = {} if api_key else {"Authorization": openai.Omit()}
        self._client = openai.AsyncOpenAI(
            base_url=own.url,
            # The library wants one, be it never sent.
            api_key=api_key or "none",
            default_headers=None if api_key else {"Authorization": openai.Omit()},  # type: ignore[dict-item]
            timeout=openai.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT_S, settings.timeout)),
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [limit_answer]}),
            # Its own pauses, of half a second and more, are longer than a caller waits.
            max_retries=0,
        )
        self._readiness = ReadinessWatch(NAME, self._ask)
        self._readiness.start()

    @property
    def ready(self) -> bool:
        return self._readiness.ready

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
        """One token is asked for: a server of one's own then has the opening in its cache."""
        await warm(self, messages, session_id, tools)

    async def end_session(self, session_id: str) -> None:
        """The protocol knows no sessions."""

    async def close(self) -> None:
        await self._readiness.close()
        await self._client.close()

    async def _begin(
        self, messages: Sequence[Message], parameters: GenerationParameters, tools: Sequence[Tool]
    ) -> AsyncGenerator[Generated, None]:
        calls = ToolCallDeltas()
        finish_reason: str | None = None
        silent = True
        try:
            # Leaving early closes the connection, which stops the generation on the other side.
            async with await self._stream(messages, parameters, tools) as stream:
                async for chunk in stream:
                    text, reason = _read(chunk, calls)
                    finish_reason = finish_reason or reason
                    if text:
                        silent = False
                        yield text
            if parameters is not ONE_TOKEN:
                # Of a call, one token is only the beginning.
                for call in calls.finished():
                    yield call
        except openai.APIError as error:
            self._readiness.doubt()
            raise _provider_error(error, messages) from error
        except NoToolCall as error:
            raise UselessToRepeat(NAME, f"the model wrote {error}") from error
        except ValueError as error:
            raise UselessToRepeat(NAME, "the answer is no stream of chat completion chunks") from error
        if finish_reason is None:
            self._readiness.doubt()
            raise ProviderUnavailable(NAME, "the answer broke off")
        if silent and finish_reason == "length" and not calls:
            raise NoWords(NAME)

    async def _stream(
        self, messages: Sequence[Message], parameters: GenerationParameters, tools: Sequence[Tool]
    ) -> "openai.AsyncStream[ChatCompletionChunk]":
        """The answer has begun. A parameter that the model refuses is left out from then on."""
        wanted: dict[str, Any] = {
            "max_tokens": parameters.max_tokens,
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "stop": list(parameters.stop) or openai.omit,
        }
        while True:
            sent = {name: value for name, value in wanted.items() if name not in self._refused}
            if "max_tokens" in self._refused:
                sent[NEWER_LIMIT] = parameters.max_tokens
            try:
                stream = await self._client.chat.completions.create(
                    model=self._model,
                    messages=cast(Any, [_message(message) for message in messages]),
                    stream=True,
                    tools=cast(Any, [_tool(tool) for tool in tools]) or openai.omit,
                    extra_headers=self._headers,
                    extra_body=self._extra_body,
                    **cast(Any, sent),
                )
                return cast("openai.AsyncStream[ChatCompletionChunk]", stream)
            except openai.BadRequestError as error:
                name = error.param
                if error.code not in UNSUPPORTED or name not in sent or name not in wanted:
                    raise
                self._refused.add(name)
                log.info("parameter is left out, as the model refuses it", extra={"provider": NAME, "parameter": name})

    async def _ask(self) -> None:
        try:
            # The library's own limit begins anew with each byte.
            async with asyncio.timeout(READINESS_TIMEOUT_S):
                await self._client.get("/models", cast_to=object, options={"headers": self._headers})
        except TimeoutError as error:
            raise ProviderTimeout(NAME, "the server does not answer") from error
        except openai.APIError as error:
            if isinstance(error, openai.APIStatusError) and error.status_code in (404, 405):
                # A server that lists no models, but is there.
                return
            raise _provider_error(error, ()) from error
        except ValueError as error:
            raise ProviderUnavailable(NAME, "the list of models is no JSON") from error


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
        }
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _read(chunk: ChatCompletionChunk, calls: ToolCallDeltas) -> tuple[str, str | None]:
    """The chunk's words, and why the answer ends with it, if it does; calls of tools go to `calls`.

    Raises:
        ValueError: it is no chunk; the library checks no types.
    """
    try:
        # The chunk that counts tokens has no choices.
        if not chunk.choices:
            return "", None
        choice = chunk.choices[0]
        if choice.delta is None:
            return "", choice.finish_reason
        for delta in choice.delta.tool_calls or ():
            function = delta.function
            name, arguments = (function.name, function.arguments) if function else (None, None)
            calls.add(delta.index, delta.id, name, arguments)
        return _words(choice.delta.content or choice.delta.refusal), choice.finish_reason
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError("not a chunk") from error


def _words(content: object) -> str:
    """Of a content in parts, as of Mistral's models that think, those that are the answer."""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if part["type"] == "text")
    if not isinstance(content, str | None):
        raise TypeError("neither text nor parts")
    return content or ""


def _provider_error(error: openai.APIError, messages: Sequence[Message]) -> ProviderError:
    if isinstance(error, openai.APITimeoutError):
        return ProviderTimeout(NAME, "the server does not answer")
    if isinstance(error, openai.APIConnectionError):
        return ProviderUnavailable(NAME, f"not reached, or cut off: {server_text(error.__cause__ or error, messages)}")
    status = error.status_code if isinstance(error, openai.APIStatusError) else _status_within(error)
    if status in (401, 403):
        # Its words may show parts of the key.
        return ProviderRejected(NAME, f"{status}: the key is not accepted")
    told = error.body.get("message") if isinstance(error.body, dict) else None
    text = f"{status or 'in the answer'}: {server_text(told or 'no details', messages)}"
    if status == 429:
        return UselessToRepeat(NAME, text)
    if status is not None and 400 <= status < 500 and status not in (408, 409):
        return ProviderRejected(NAME, text)
    return ProviderUnavailable(NAME, text)


def _status_within(error: openai.APIError) -> int | None:
    """Of an error that came in the stream, once the reply had begun with a 200."""
    return int(error.code) if error.code is not None and error.code.isdecimal() else None


def build(settings: LlmSettings, own: OpenAiSettings) -> OpenAiGenerator:
    for name in TALKATIVE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return OpenAiGenerator(settings, own)


SETTINGS = OpenAiSettings
