"""What only servers of OpenAI's protocol know: keys, tools, events in a stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers import readiness
from core.providers.base import Generated, GenerationParameters, Message, Tool, ToolCall
from core.providers.llm import openai
from core.providers.llm.openai import OpenAiGenerator, OpenAiSettings
from core.providers.settings import LlmSettings
from core.settings import load_settings
from services.common.settings import ConfigurationError, load
from tests.contract.backend import WAIT_S, until
from tests.support.standins.openai import KEY, MODEL, OpenAiServer
from tests.support.standins.script import ANSWER, saying

CONVERSATION = (Message("system", "You are brief."), Message("user", "Put me through, please."))
TRANSFER = Tool("transfer", "Puts the caller through", {"type": "object", "properties": {"number": {"type": "string"}}})
PARAMETERS = GenerationParameters()
HANG_UP = Tool("hang_up", "Ends the call")


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
async def provider(server: OpenAiServer) -> AsyncIterator[OpenAiGenerator]:
    provider = make(server)
    yield provider
    await provider.close()


def make(server: OpenAiServer, key: str = KEY, model: str = MODEL, extra_body: str = "{}") -> OpenAiGenerator:
    own = OpenAiSettings(url=server.url, api_key=SecretStr(key), model=model, extra_body=extra_body)
    return OpenAiGenerator(LlmSettings(max_retries=1), own)


async def answer(
    provider: OpenAiGenerator,
    messages: tuple[Message, ...] = CONVERSATION,
    parameters: GenerationParameters = PARAMETERS,
    tools: tuple[Tool, ...] = (),
) -> list[Generated]:
    async with asyncio.timeout(WAIT_S):
        return [piece async for piece in provider.generate(messages, parameters, "s", tools)]


async def test_the_request_says_what_core_wants(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    await answer(provider, parameters=GenerationParameters(max_tokens=9, temperature=0.0, top_p=0.5, stop=("\n",)))
    assert server.script.requests == [
        {
            "model": MODEL,
            "messages": [{"role": each.role, "content": each.content} for each in CONVERSATION],
            "stream": True,
            "max_tokens": 9,
            "temperature": 0.0,
            "top_p": 0.5,
            "stop": ["\n"],
        }
    ]


async def test_what_only_this_server_knows_is_put_over_the_request(server: OpenAiServer) -> None:
    provider = make(server, extra_body='{"reasoning_effort": "none", "temperature": null}')
    await answer(provider)
    [request] = server.script.requests
    assert (request["reasoning_effort"], request["temperature"]) == ("none", None)
    await provider.close()


async def test_the_key_is_sent_and_where_there_is_none_no_header(server: OpenAiServer) -> None:
    provider = make(server)
    await answer(provider)
    assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"
    await provider.close()
    async with OpenAiServer(wants_key=False) as open_server:
        without = make(open_server, key="")
        assert await answer(without)
        await until(lambda: without.ready)
        assert "Authorization" not in open_server.headers[-1]
        await without.close()


async def test_a_wrong_key_is_rejected_and_never_repeated(server: OpenAiServer) -> None:
    provider = make(server, key="sk-wrong")
    with pytest.raises(ProviderRejected, match="401") as refused:
        await answer(provider)
    assert KEY[:4] not in str(refused.value)
    assert not provider.ready
    await provider.close()


async def test_an_unknown_model_is_rejected_with_the_servers_words(server: OpenAiServer) -> None:
    provider = make(server, model="gpt-9")
    with pytest.raises(ProviderRejected, match="404: The model `gpt-9` does not exist"):
        await answer(provider)
    await provider.close()


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [
        (400, ProviderRejected, 1),
        (422, ProviderRejected, 1),
        (429, ProviderUnavailable, 1),
        (500, ProviderUnavailable, 2),
    ],
)
async def test_refusals_are_errors_of_ours(
    server: OpenAiServer, provider: OpenAiGenerator, status: int, kind: type[ProviderError], attempts: int
) -> None:
    server.script.refusal = status
    with pytest.raises(kind, match="as the test wants it"):
        await answer(provider)
    assert len(server.script.requests) == attempts


@pytest.mark.parametrize(("status", "kind"), [(400, ProviderRejected), (500, ProviderUnavailable)])
async def test_an_error_within_the_stream_keeps_its_meaning(
    server: OpenAiServer, provider: OpenAiGenerator, status: int, kind: type[ProviderError]
) -> None:
    server.script.refusal = status
    server.script.refuse_after = 1
    with pytest.raises(kind, match="as the test wants it"):
        await answer(provider)


async def test_a_tool_call_is_put_together_from_its_pieces(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    call = ToolCall("call_1", "transfer", {"number": "+49 30 123456", "note": "déjà vu"})
    server.script.answer = saying("One ", "moment.", call)
    assert await answer(provider, tools=(TRANSFER, HANG_UP)) == ["One ", "moment.", call]
    [request] = server.script.requests
    assert [each["function"]["name"] for each in request["tools"]] == ["transfer", "hang_up"]
    assert request["tools"][0]["function"]["parameters"] == TRANSFER.parameters
    assert request["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}


async def test_several_calls_keep_their_order(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    calls = [ToolCall("call_1", "transfer", {"number": "1"}), ToolCall("call_2", "hang_up")]
    server.script.answer = saying(*calls)
    assert await answer(provider, tools=(TRANSFER, HANG_UP)) == calls


async def test_a_call_and_its_result_go_back_as_they_came(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    call = ToolCall("call_1", "transfer", {"number": "1"})
    await answer(
        provider,
        (
            *CONVERSATION,
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", '{"ok": false}', tool_call_id="call_1"),
        ),
        tools=(TRANSFER,),
    )
    asked, result = server.script.requests[0]["messages"][2:]
    assert asked["content"] is None
    [sent] = asked["tool_calls"]
    assert (sent["id"], sent["type"], sent["function"]["name"]) == ("call_1", "function", "transfer")
    assert json.loads(sent["function"]["arguments"]) == {"number": "1"}
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": '{"ok": false}'}


def _event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


CUT_OFF = (
    _event(tool_calls=[{"index": 0, "id": "a", "function": {"name": "transfer", "arguments": '{"nu'}}])
    + b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
)
GARBAGE = {
    "no events": b"<html>Welcome</html>",
    "no JSON": b"data: Welcome\n\n",
    "no chunk": b"data: 5\n\n",
    "no text": b'data: {"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}\n\n',
    "no parts": b'data: {"choices": [{"index": 0, "delta": {"content": [{"text": "a"}]}}]}\n\n',
    "no object": b'data: {"choices": [3]}\n\n',
    "no arguments": CUT_OFF,
    "no UTF-8": b"data: \xff\xff\n\n",
    "nothing": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_is_no_answer_is_unavailable(
    server: OpenAiServer, provider: OpenAiGenerator, garbage: bytes
) -> None:
    server.garbage = garbage
    with pytest.raises(ProviderUnavailable):
        await answer(provider)


@pytest.mark.parametrize("choices", [[], [{"index": 0, "delta": None, "finish_reason": None}]])
async def test_chunks_without_words_are_passed_over(
    server: OpenAiServer, provider: OpenAiGenerator, choices: list[Any]
) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    lines = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in ({"choices": choices}, end)]
    server.garbage = lines[0] + _event(content="Yes.") + lines[1] + b"data: [DONE]\n\n"
    assert await answer(provider) == ["Yes."]


async def test_warming_asks_for_one_token_of_a_conversation_that_templates_take(
    server: OpenAiServer, provider: OpenAiGenerator
) -> None:
    await provider.warm_up(CONVERSATION[:1], "s")
    [request] = server.script.requests
    assert request["max_tokens"] == 1
    assert [each["role"] for each in request["messages"]] == ["system", "user"]


async def test_warming_with_tools_takes_the_beginning_of_a_call(
    server: OpenAiServer, provider: OpenAiGenerator
) -> None:
    server.garbage = CUT_OFF
    await provider.warm_up(CONVERSATION[:1], "s", (TRANSFER,))
    assert [tool["function"]["name"] for tool in server.script.requests[0]["tools"]] == ["transfer"]


async def test_a_call_that_was_cut_off_is_not_made(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    server.garbage = CUT_OFF
    with pytest.raises(ProviderUnavailable, match="whose arguments are no JSON"):
        await answer(provider, tools=(TRANSFER,))
    assert len(server.script.requests) == 1


async def test_connections_are_kept(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    await until(lambda: provider.ready)
    for _ in range(3):
        await answer(provider)
    assert server.connections == 1


async def test_a_server_that_lists_no_models_is_ready(server: OpenAiServer, provider: OpenAiGenerator) -> None:
    server.lists_models = False
    await until(lambda: provider.ready)


async def test_a_list_of_models_that_does_not_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "READINESS_TIMEOUT_S", 0.1)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b" ")
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.02):
                    await reader.read(1024)
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        own = OpenAiSettings(url=f"http://127.0.0.1:{port}/v1", model=MODEL)
        provider = OpenAiGenerator(LlmSettings(), own)
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(ProviderTimeout):
                await provider._ask()
        await provider.close()


async def test_readiness_is_asked_for_now_and_then(server: OpenAiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_INTERVAL_S", 0.01)
    provider = make(server)
    await until(lambda: server.model_requests > 2)
    assert provider.ready
    await provider.close()
    asked = server.model_requests
    await answer_nothing()
    assert server.model_requests == asked


async def answer_nothing() -> None:
    """Gives a task that should have ended the time of several intervals."""
    await asyncio.sleep(0.05)


NEWER = frozenset({"max_tokens", "temperature", "top_p"})


async def test_what_newer_models_do_not_take_is_left_out_from_then_on(
    server: OpenAiServer, provider: OpenAiGenerator
) -> None:
    server.unsupported = NEWER
    both = await asyncio.gather(answer(provider), answer(provider))
    assert all(each == list(ANSWER) for each in both)
    refused = len(server.headers) - len(server.script.requests)
    assert await answer(provider) == list(ANSWER)
    assert len(server.headers) - len(server.script.requests) == refused
    assert [each["max_completion_tokens"] for each in server.script.requests] == [PARAMETERS.max_tokens] * 3
    assert NEWER.isdisjoint(server.script.requests[-1])


async def test_what_the_settings_put_into_the_request_is_not_left_out(server: OpenAiServer) -> None:
    server.unsupported = frozenset({"top_p", "max_tokens"})
    provider = make(server, extra_body='{"top_p": 0.3}')
    with pytest.raises(ProviderRejected, match="'top_p' is not supported"):
        await answer(provider)
    await provider.close()


END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "%s"}]}\n\ndata: [DONE]\n\n'
STOP = END % b"stop"
IN_PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "The caller asks."}]},
    {"type": "text", "text": "Yes."},
]


@pytest.mark.parametrize(
    "events",
    [
        _event(reasoning_content="The caller asks.") + _event(content="Yes."),
        _event(reasoning="The caller asks.", content=None) + _event(content="Yes."),
        _event(content="<think>The caller") + _event(content=" asks.</think>\n\nYes."),
        _event(content=IN_PARTS[:1]) + _event(content=IN_PARTS[1:]),
        _event(content=IN_PARTS),
        _event(refusal="Yes."),
    ],
)
async def test_thoughts_are_not_said(server: OpenAiServer, provider: OpenAiGenerator, events: bytes) -> None:
    server.garbage = events + STOP
    assert "".join(map(str, await answer(provider))) == "Yes."


async def test_a_model_that_thought_up_to_its_limit_has_not_answered(
    server: OpenAiServer, provider: OpenAiGenerator
) -> None:
    server.garbage = _event(reasoning_content="The caller asks.") + END % b"length"
    with pytest.raises(ProviderUnavailable, match="only thought"):
        await answer(provider)
    await provider.warm_up(CONVERSATION[:1], "s")


# Settings.


def test_a_missing_model_stops_the_start_and_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"llm\.openai\.model: required; set it in \[llm\.openai\] or OPENAI_MODEL"
    ):
        load_settings(None, {"LLM_PROVIDER": "openai"})


def test_the_environment_wins_over_the_file() -> None:
    ini = {"llm.openai": {"url": "http://file/v1", "model": "file", "api_key": "file"}}
    environ = {"OPENAI_BASE_URL": "http://env/v1", "OPENAI_MODEL": "env", "OPENAI_API_KEY": "env"}
    settings = load([OpenAiSettings], ini, environ)[OpenAiSettings]
    assert (settings.url, settings.model, settings.api_key.get_secret_value()) == ("http://env/v1", "env", "env")
    assert "env" not in repr(settings.api_key)


@pytest.mark.parametrize(
    ("key", "value"), [("url", "localhost:8000"), ("extra_body", "[1]"), ("extra_body", "{"), ("model", "")]
)
def test_impossible_values_are_named(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"llm\.openai\.{key}"):
        load([OpenAiSettings], {"llm.openai": {"model": "m", key: value}}, {})
