"""What only the Llama WebSocket server's protocol has: two forms of a request, context told before the answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.errors import ProviderUnavailable
from core.providers.base import Generated, GenerationParameters, Message, ToolCall
from core.providers.llm.llama_ws import LlamaWsGenerator, LlamaWsSettings, build
from core.providers.settings import LlmSettings
from services.common.settings import ConfigurationError, load
from tests.contract.backend import WAIT_S, until
from tests.support.standins.llama_ws import LlamaWsServer
from tests.support.standins.script import ANSWER

QUESTION = (Message("system", "You are brief."), Message("user", "When do you open?"))
PARAMETERS = GenerationParameters(max_tokens=9, temperature=0.0, top_p=0.5)
LATER = (
    *QUESTION,
    Message("assistant", "", tool_calls=(ToolCall("a", "look_up"),)),
    Message("tool", "nine", tool_call_id="a"),
    Message("assistant", "At nine."),
    Message("user", "And on Sundays?"),
)


@pytest.fixture
async def server() -> AsyncIterator[LlamaWsServer]:
    async with LlamaWsServer() as server:
        yield server


def make(server: LlamaWsServer, **own: Any) -> LlamaWsGenerator:
    return build(LlmSettings(max_retries=1), LlamaWsSettings(url=server.url, **own))


async def answer(provider: LlamaWsGenerator, messages: tuple[Message, ...] = QUESTION) -> list[Generated]:
    async with asyncio.timeout(WAIT_S):
        pieces = [piece async for piece in provider.generate(messages, PARAMETERS, "s")]
    await provider.close()
    return pieces


async def test_the_conversation_is_sent_as_messages(server: LlamaWsServer) -> None:
    assert await answer(make(server)) == list(ANSWER)
    assert server.script.requests == [
        {
            "messages": [{"role": each.role, "content": each.content} for each in QUESTION],
            "temperature": 0.0,
            "max_tokens": 9,
            "stream": True,
            "use_rag": False,
        }
    ]


async def test_older_servers_get_a_prompt(server: LlamaWsServer) -> None:
    assert await answer(make(server, form="prompt")) == list(ANSWER)
    assert server.script.requests == [
        {
            "prompt": "When do you open?",
            "system_prompt": "You are brief.",
            "temperature": 0.0,
            "max_tokens": 9,
            "top_p": 0.5,
        }
    ]


async def test_a_prompt_of_several_turns_names_who_speaks(server: LlamaWsServer) -> None:
    await answer(make(server, form="prompt"), LATER)
    assert server.script.requests[0]["prompt"] == (
        "User: When do you open?\nAssistant: At nine.\nUser: And on Sundays?"
    )


@pytest.mark.parametrize("last", ['{"chunk": "Yes.", "done": true}', '{"chunk": "Yes.", "done": true, "error": null}'])
async def test_the_last_words_may_come_with_the_end(server: LlamaWsServer, last: str) -> None:
    server.garbage = last
    assert await answer(make(server)) == ["Yes."]


async def test_what_tools_said_is_not_sent(server: LlamaWsServer) -> None:
    await answer(make(server), LATER)
    assert [each["role"] for each in server.script.requests[0]["messages"]] == ["system", "user", "assistant", "user"]


async def test_context_told_before_the_answer_is_not_spoken(server: LlamaWsServer) -> None:
    assert await answer(make(server, use_rag=True)) == list(ANSWER)
    assert server.script.requests[0]["use_rag"] is True


@pytest.mark.parametrize("garbage", ["Welcome", "[1]", '{"chunk": ', b"\x00\x01", b'{"chunk": "a"}'])
async def test_what_is_no_reply_is_unavailable_and_not_asked_for_again(
    server: LlamaWsServer, garbage: str | bytes
) -> None:
    server.garbage = garbage
    provider = make(server)
    with pytest.raises(ProviderUnavailable, match="no JSON object in a text message"):
        await answer(provider)
    assert len(server.script.requests) == 1
    await provider.close()


async def test_an_answer_without_an_end_has_broken_off(server: LlamaWsServer) -> None:
    server.ends_early = True
    provider = make(server)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        await answer(provider)
    await provider.close()


async def test_each_request_has_a_connection_that_is_closed_after_it(server: LlamaWsServer) -> None:
    provider = make(server)
    await until(lambda: provider.ready)
    before = server.connections
    await answer(provider)
    assert server.connections == before + 1
    assert server.script.running == 0


# Settings.


def test_the_environment_wins_over_the_file() -> None:
    settings = load([LlamaWsSettings], {"llm.llama_ws": {"url": "ws://file"}}, {"LLAMA_URL": "wss://env/llama"})
    assert settings[LlamaWsSettings].url == "wss://env/llama"
    assert load([LlamaWsSettings], {}, {})[LlamaWsSettings].url == "ws://localhost:8765"


@pytest.mark.parametrize(("key", "value"), [("url", "http://x"), ("form", "poem"), ("use_rag", "perhaps")])
def test_impossible_values_are_named(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"llm\.llama_ws\.{key}"):
        load([LlamaWsSettings], {"llm.llama_ws": {key: value}}, {})
