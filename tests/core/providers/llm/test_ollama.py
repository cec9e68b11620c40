"""What only Ollama knows: models that are loaded, kept and missing; what each can do."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import ProviderRejected, ProviderUnavailable
from core.providers import readiness
from core.providers.base import Generated, GenerationParameters, Message, Tool, ToolCall
from core.providers.llm.ollama import OllamaGenerator, OllamaSettings, build
from core.providers.settings import LlmSettings
from core.settings import load_settings
from services.common.settings import ConfigurationError, load
from tests.contract.backend import WAIT_S, until
from tests.support.standins.ollama import MODEL, OllamaServer
from tests.support.standins.script import ANSWER, saying

CONVERSATION = (Message("system", "You are brief."), Message("user", "Put me through, please."))
PARAMETERS = GenerationParameters(max_tokens=9, temperature=0.0, top_p=0.5, stop=("\n",))
TRANSFER = Tool("transfer", "Puts the caller through", {"type": "object", "properties": {"number": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "AWAY_INTERVAL_S", 0.02)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as server:
        yield server


@pytest.fixture
async def provider(server: OllamaServer) -> AsyncIterator[OllamaGenerator]:
    provider = make(server)
    yield provider
    await provider.close()


def make(server: OllamaServer, **own: Any) -> OllamaGenerator:
    settings = OllamaSettings(**{"url": server.url, "model": "stand-in", **own})
    return build(LlmSettings(max_retries=1), settings)


async def answer(
    provider: OllamaGenerator, messages: tuple[Message, ...] = CONVERSATION, tools: tuple[Tool, ...] = ()
) -> list[Generated]:
    async with asyncio.timeout(WAIT_S):
        return [piece async for piece in provider.generate(messages, PARAMETERS, "s", tools)]


async def test_the_request_says_what_core_wants(server: OllamaServer) -> None:
    provider = make(server, num_ctx=2048)
    await answer(provider)
    [request] = server.script.requests
    assert request["messages"] == [{"role": each.role, "content": each.content} for each in CONVERSATION]
    assert request["options"] == {
        "num_ctx": 2048,
        "num_predict": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["\n"],
    }
    assert (request["model"], request["stream"]) == ("stand-in", True)
    assert request["keep_alive"] == "30m"
    await provider.close()


async def test_the_model_is_loaded_before_any_call(server: OllamaServer) -> None:
    server.may_load.clear()
    provider = make(server, num_ctx=2048, keep_alive="1h30m")
    await until(lambda: server.loads)
    assert not provider.ready
    server.may_load.set()
    await until(lambda: provider.ready)
    # With the context that answers will ask for: another one would load the model anew.
    assert server.loads == [{"model": "stand-in", "stream": False, "options": {"num_ctx": 2048}, "keep_alive": "1h30m"}]
    await provider.close()


@pytest.mark.parametrize(("text", "sent"), [("-1", -1), ("600", 600), ("30m", "30m"), ("1h30m", "1h30m")])
async def test_seconds_are_sent_as_a_number(server: OllamaServer, text: str, sent: object) -> None:
    provider = make(server, keep_alive=text)
    await until(lambda: provider.ready)
    assert server.loads[0]["keep_alive"] == sent
    await provider.close()


async def test_it_is_loaded_again_after_the_server_was_away(server: OllamaServer, provider: OllamaGenerator) -> None:
    await until(lambda: provider.ready)
    await server.die()
    with pytest.raises(ProviderUnavailable):
        await answer(provider)
    await until(lambda: not provider.ready)
    await server.start()
    await until(lambda: provider.ready)
    assert len(server.loads) == 2


async def test_it_is_loaded_again_after_a_failed_answer(server: OllamaServer, provider: OllamaGenerator) -> None:
    await until(lambda: provider.ready)
    server.script.die_after = 0
    with pytest.raises(ProviderUnavailable):
        await answer(provider)
    # Ollama may have been started anew, and quicker than anyone asked.
    await until(lambda: len(server.loads) == 2)


async def test_warming_brings_a_model_back_that_was_put_out_of_memory(
    server: OllamaServer, provider: OllamaGenerator
) -> None:
    await until(lambda: provider.ready)
    server.loaded.clear()
    await provider.warm_up(CONVERSATION[:1], "s")
    assert server.loaded == {MODEL}
    assert server.script.requests[0]["options"]["num_predict"] == 1
    assert [each["role"] for each in server.script.requests[0]["messages"]] == ["system", "user"]


async def test_a_missing_model_is_told_with_the_way_to_get_it(
    server: OllamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    provider = make(server, model="llama3.2")
    await until(lambda: caplog.records)
    reasons = [getattr(record, "reason", "") for record in caplog.records]
    assert "ollama: llama3.2 is not there; get it with: oavc models ollama pull llama3.2" in reasons
    assert not provider.ready
    with pytest.raises(ProviderRejected, match=r"model 'llama3\.2' not found"):
        await answer(provider)
    # Told once, however often it is found.
    assert len([reason for reason in reasons if "pull" in reason]) == 1
    server.models.add("llama3.2:latest")
    await until(lambda: provider.ready)
    await provider.close()


@pytest.mark.parametrize(("capabilities", "calls_tools"), [(["completion"], False), (["completion", "tools"], True)])
async def test_the_model_says_whether_it_calls_tools(
    server: OllamaServer, capabilities: list[str], calls_tools: bool
) -> None:
    server.capabilities = capabilities
    provider = make(server)
    await until(lambda: provider.ready)
    assert provider.calls_tools is calls_tools
    await provider.close()


async def test_only_a_model_that_can_think_is_told_not_to(server: OllamaServer) -> None:
    for capabilities in (["completion"], ["completion", "thinking"]):
        server.capabilities = capabilities
        provider = make(server)
        await until(lambda: provider.ready)  # noqa: B023  it is over within the round
        await answer(provider)
        await provider.close()
    assert [request.get("think") for request in server.script.requests] == [None, False]


async def test_tools_asked_of_a_model_that_calls_none_are_rejected(
    server: OllamaServer, provider: OllamaGenerator
) -> None:
    server.capabilities = ["completion"]
    with pytest.raises(ProviderRejected, match="does not support tools"):
        await answer(provider, tools=(TRANSFER,))


async def test_a_tool_call_has_an_id_of_its_own(server: OllamaServer, provider: OllamaGenerator) -> None:
    call = ToolCall("", "transfer", {"number": "1"})
    server.script.answer = saying("One moment.", call, call)
    said, first, second = await answer(provider, tools=(TRANSFER,))
    assert said == "One moment."
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.name, first.arguments) == ("transfer", {"number": "1"})
    assert first.call_id
    assert first.call_id != second.call_id
    [tool] = server.script.requests[0]["tools"]
    assert tool["function"]["name"] == "transfer"
    assert tool["function"]["parameters"]["properties"] == {"number": {"type": "string"}}


async def test_a_result_names_the_tool(server: OllamaServer, provider: OllamaGenerator) -> None:
    call = ToolCall("call_1", "transfer", {"number": "1"})
    result = Message("tool", "no answer", tool_call_id="call_1")
    await answer(provider, (*CONVERSATION, Message("assistant", "", tool_calls=(call,)), result), (TRANSFER,))
    asked, told = server.script.requests[0]["messages"][2:]
    assert asked["tool_calls"] == [{"function": {"name": "transfer", "arguments": {"number": "1"}}}]
    assert (told["role"], told["content"], told["tool_name"]) == ("tool", "no answer", "transfer")


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>Welcome</html>\n",
        b"5\n",
        b'{"done": false}\n',
        b'{"message": {"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}}\n',
        b"\xff\n",
        b"",
        b'{"error": "llama runner process has terminated"}\n',
    ],
)
async def test_what_is_no_answer_is_unavailable(
    server: OllamaServer, provider: OllamaGenerator, garbage: bytes
) -> None:
    server.garbage = garbage
    with pytest.raises(ProviderUnavailable):
        await answer(provider)


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (429, 1), (500, 2)])
async def test_refusals_that_pass_are_tried_again(
    server: OllamaServer, provider: OllamaGenerator, status: int, attempts: int
) -> None:
    server.script.refusal = status
    with pytest.raises((ProviderRejected, ProviderUnavailable), match=f"{status}: as the test wants it"):
        await answer(provider)
    assert len(server.script.requests) == attempts


async def test_what_is_no_ollama_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    class Other(OllamaServer):
        async def _tags(self, request: Any) -> Any:
            return await self._root(request)

    async with Other() as other:
        provider = make(other)
        await until(lambda: caplog.records)
        assert [getattr(record, "reason", "") for record in caplog.records] == ["ollama: what answers is no Ollama"]
        assert not provider.ready
        await provider.close()


async def test_a_proxys_key_is_sent(server: OllamaServer) -> None:
    provider = make(server, api_key=SecretStr("secret"))
    await until(lambda: provider.ready)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    await provider.close()


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_credentials_in_the_url_are_sent_too(server: OllamaServer, scheme: str) -> None:
    provider = make(server, url=f"{scheme}core:p%40ss@127.0.0.1:{server.port}")
    await until(lambda: provider.ready)
    assert server.headers[0]["Authorization"] == f"Basic {b64encode(b'core:p@ss').decode()}"
    await provider.close()


async def test_the_address_may_be_as_ollama_itself_takes_it(server: OllamaServer) -> None:
    provider = make(server, url=f"127.0.0.1:{server.port}")
    assert await answer(provider) == list(ANSWER)
    await provider.close()


# Settings.


def test_a_missing_model_stops_the_start_and_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"llm\.ollama\.model: required; set it in .* or OLLAMA_MODEL"):
        load_settings(None, {"LLM_PROVIDER": "grpc, ollama"})


def test_the_environment_wins_over_the_file() -> None:
    ini = {"llm.ollama": {"url": "http://file", "model": "file"}}
    settings = load([OllamaSettings], ini, {"OLLAMA_HOST": "env:1", "OLLAMA_MODEL": "env"})[OllamaSettings]
    assert (settings.url, settings.model) == ("env:1", "env")


@pytest.mark.parametrize(
    ("key", "value"), [("url", "a b"), ("keep_alive", "half an hour"), ("keep_alive", "5 m"), ("num_ctx", "0")]
)
def test_impossible_values_are_named(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"llm\.ollama\.{key}"):
        load([OllamaSettings], {"llm.ollama": {"model": "m", key: value}}, {})


def _line(**message: str) -> bytes:
    return json.dumps({"model": MODEL, "message": {"role": "assistant", "content": "", **message}}).encode() + b"\n"


async def test_thoughts_are_not_said(server: OllamaServer, provider: OllamaGenerator) -> None:
    server.garbage = (
        _line(thinking="The caller asks.")
        + _line(content="<think>The caller")
        + _line(content=" asks.</think>\n\nYes.")
        + b'{"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop"}\n'
    )
    assert await answer(provider) == ["Yes."]


async def test_a_model_that_thought_up_to_its_limit_has_not_answered(
    server: OllamaServer, provider: OllamaGenerator
) -> None:
    server.garbage = _line(thinking="The caller asks.") + (
        b'{"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "length"}\n'
    )
    with pytest.raises(ProviderUnavailable, match="only thought"):
        await answer(provider)
    await provider.warm_up(CONVERSATION[:1], "s")
