"""A call whose model asks for things: done once the turn is over, and not twice."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.leg import EndReason
from core.pipeline.settings import AudioSettings
from core.providers.asr.scripted import ScriptedRecognizer
from core.providers.base import Generator, ToolCall
from core.providers.llm.openai import OpenAiGenerator, OpenAiSettings
from core.providers.settings import LlmSettings
from core.settings import load_settings
from tests.core.pipeline.conftest import KNOWLEDGE, Place, Setup, Talk
from tests.support.standins.openai import KEY, MODEL, OpenAiServer
from tests.support.standins.script import Script, WireMessages
from tests.support.tool_calling import Step, ToolCallingGenerator

GUIDE = Path(__file__).parents[3] / "docs" / "tools.md"
DESK = "sip:desk@example.com"
ORDER = ToolCall("1", "order_status", {"order": "4711"})
ON_ITS_WAY = "Order 4711 comes in 2 days."


class _Shop:
    """The operator's server."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.status = 200
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""

    async def respond(self, request: web.Request) -> web.Response:
        self.orders.append((await request.json())["order"])
        await self.may_answer.wait()
        return web.json_response({"order": "4711", "days": 2}, status=self.status)

    @property
    def tool(self) -> HttpToolSettings:
        return HttpToolSettings(
            name="order_status",
            description="Says where an order is.",
            url=self.url,
            method="POST",
            parameters='{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}',
        )


@pytest.fixture
async def shop() -> AsyncIterator[_Shop]:
    shop = _Shop()
    application = web.Application()
    application.router.add_post("/orders", shop.respond)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    shop.url = str(server.make_url("/orders"))
    yield shop
    await server.close()


def _setup(
    *answers: Sequence[Step],
    heard: Sequence[str] = ("And who are you?",),
    generator: Generator | None = None,
    http_tool: HttpToolSettings | None = None,
    audio: AudioSettings | None = None,
    **dialogue: Any,
) -> Setup:
    settings = {
        "idle_timeout_s": 0,
        "transfer_target": DESK,
        "tools": ["hang_up", "transfer", "look_up", "send_digits", "http_tool"],
    }
    return Setup(
        recognizer=ScriptedRecognizer(heard, repeat=False),
        generator=generator or ToolCallingGenerator(*answers),
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings.model_validate(settings | dialogue),
        http_tool=http_tool or HttpToolSettings(),
        audio=audio or AudioSettings(),
    )


async def _asked(talk: Talk, generator: ToolCallingGenerator, count: int) -> None:
    await talk.until(lambda: len(generator.asked) >= count)


async def test_what_the_model_looks_up_is_spoken(place: Place) -> None:
    talk = await place(_setup([ToolCall("1", "look_up", {"query": "pay by card"})], ["You can pay by card."]))

    talk.caller.press("5#")
    turn = await talk.heard_out(0)

    assert (turn.spoken, turn.source) == ("You can pay by card.", "model")


async def test_a_model_hangs_up_once_the_caller_has_heard_it(place: Place) -> None:
    talk = await place(_setup(["So long. ", ToolCall("1", "hang_up")]))

    talk.caller.press("5#")
    ended = await talk.end()

    assert ended.reason is EndReason.AGENT_HUNG_UP
    assert talk.record.turns[0].spoken == "So long."


async def test_a_model_transfers_to_the_configured_target(place: Place) -> None:
    talk = await place(_setup([ToolCall("1", "transfer")]))

    talk.caller.press("5#")
    ended = await talk.end()

    assert ended.reason is EndReason.TRANSFERRED
    assert talk.caller.leg.transfer_target == DESK
    assert talk.record.turns[0].spoken == DialogueSettings().transfer_message


async def test_digits_are_sent_behind_the_words_before_them(place: Place) -> None:
    talk = await place(_setup(["One moment. ", ToolCall("1", "send_digits", {"digits": "12#"})], ["It is done."]))

    talk.caller.press("5#")
    turn = await talk.turn(0)
    assert talk.caller.digits == ""
    await talk.heard_out(0)
    await talk.until(lambda: talk.caller.digits == "12#")

    assert turn.spoken == "One moment. It is done."


async def test_a_phone_that_takes_no_digits_ends_no_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(digits: str) -> None:
        raise ValueError("The caller's side takes no telephone events")

    talk = await place(_setup([ToolCall("1", "send_digits", {"digits": "12#"})], ["I tried."]))
    monkeypatch.setattr(talk.caller.leg, "send_digits", refuse)

    talk.caller.press("5#")
    turn = await talk.heard_out(0)

    assert turn.spoken == "I tried."


async def test_keys_that_are_being_sent_are_sent_to_the_last(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(digits: str) -> None:
        begun.set()
        await may_end.wait()
        sent.set()

    generator = ToolCallingGenerator([ToolCall("1", "send_digits", {"digits": "12#"})], ["Done."])
    talk = await place(_setup(generator=generator))
    monkeypatch.setattr(talk.caller.leg, "send_digits", send)
    talk.caller.press("5#")
    await talk.until(begun.is_set)

    talk.caller.press("6#")
    await talk.until(lambda: len(talk.record.turns) == 2)
    assert not talk.caller.leg.queued_ms, "speech waits for the keys"
    may_end.set()
    turn = await talk.heard_out(1)

    assert sent.is_set()
    assert turn.spoken == "Done."


async def test_keys_behind_words_that_are_still_heard_may_be_kept_back(place: Place) -> None:
    generator = ToolCallingGenerator(["Now. ", ToolCall("1", "send_digits", {"digits": "12#"})], ["I am a shop."])
    talk = await place(_setup(generator=generator))
    talk.caller.press("5#")
    await talk.turn(0)
    await talk.until(lambda: len(generator.asked) == 2)

    talk.caller.press("6#")
    turn = await talk.heard_out(1)

    assert turn.spoken == "I am a shop."
    assert talk.caller.digits == ""


async def test_facts_of_a_server_are_spoken(place: Place, shop: _Shop) -> None:
    talk = await place(_setup([ORDER], [ON_ITS_WAY], http_tool=shop.tool))

    talk.caller.press("5#")
    turn = await talk.heard_out(0)

    assert turn.spoken == ON_ITS_WAY
    assert shop.orders == ["4711"]


async def test_a_server_that_fails_leaves_an_answer_and_no_facts(place: Place, shop: _Shop) -> None:
    shop.status = 500
    generator = ToolCallingGenerator([ORDER], ["I cannot see that now. It comes in 2 days."])
    talk = await place(_setup(generator=generator, http_tool=shop.tool))

    talk.caller.press("5#")
    turn = await talk.heard_out(0)

    assert turn.spoken == "I cannot see that now."
    assert "request failed" in generator.asked[-1][-1].content


async def test_nothing_is_sent_while_the_caller_may_go_on(place: Place, shop: _Shop) -> None:
    generator = ToolCallingGenerator([ORDER], [ORDER], [ON_ITS_WAY])
    setup = _setup(
        generator=generator,
        heard=("Where is my order,", "please?"),
        http_tool=shop.tool,
        audio=AudioSettings(endpoint_ms=1200, silence_timeout_ms=1200),
    )
    talk = await place(setup)
    talk.say()
    await _asked(talk, generator, 1)
    await asyncio.sleep(0.3)
    assert shop.orders == []

    talk.say()
    await _asked(talk, generator, 2)
    assert shop.orders == []
    turn = await talk.heard_out(0)

    assert (turn.heard, turn.spoken) == ("Where is my order, please?", ON_ITS_WAY)
    assert shop.orders == ["4711"]


async def test_a_model_that_would_hang_up_on_half_a_sentence_does_not(place: Place) -> None:
    generator = ToolCallingGenerator([ToolCall("1", "hang_up")], ["I am a shop."])
    setup = _setup(
        generator=generator,
        heard=("And who", "are you?"),
        audio=AudioSettings(endpoint_ms=1200, silence_timeout_ms=1200),
    )
    talk = await place(setup)
    talk.say()
    await _asked(talk, generator, 1)

    talk.say()
    turn = await talk.heard_out(0)

    assert turn.spoken == "I am a shop."
    assert talk.ended is None


async def test_a_request_is_not_repeated_for_an_answer_that_was_not_heard(place: Place, shop: _Shop) -> None:
    shop.may_answer.clear()
    talk = await place(_setup([ORDER], [ORDER], [ON_ITS_WAY], http_tool=shop.tool))
    talk.caller.press("5#")
    await talk.until(lambda: shop.orders)

    talk.caller.hold()
    await talk.until(lambda: talk.record.turns[0].interrupted)
    talk.caller.resume()
    await talk.until(lambda: len(talk.record.turns) == 2)
    shop.may_answer.set()
    turn = await talk.heard_out(1)

    assert turn.spoken == ON_ITS_WAY
    assert shop.orders == ["4711"]


async def test_what_a_tool_was_asked_for_is_said_after_a_noise(place: Place, shop: _Shop) -> None:
    shop.may_answer.clear()
    setup = _setup(
        ["Let me see. ", ORDER],
        ["Let me see. ", ORDER],
        [ON_ITS_WAY],
        heard=("",),
        http_tool=shop.tool,
    )
    talk = await place(setup)
    talk.caller.press("5#")
    await talk.turn(0)
    await talk.until(lambda: shop.orders)
    await asyncio.sleep(0.8)

    talk.say()
    await talk.until(lambda: len(talk.record.turns) == 2)
    shop.may_answer.set()
    turn = await talk.heard_out(1)

    assert turn.spoken == f"Let me see. {ON_ITS_WAY}"
    assert shop.orders == ["4711"]


async def test_a_caller_who_interrupts_the_goodbye_of_a_model_stays(place: Place) -> None:
    generator = ToolCallingGenerator(
        ["Then I thank you very much for this call and wish you a very nice day. ", ToolCall("1", "hang_up")],
        ["I am still here."],
    )
    talk = await place(_setup(generator=generator, heard=("Well, what else?",)))
    talk.caller.press("5#")
    await talk.turn(0)
    await asyncio.sleep(0.8)

    talk.say()
    turn = await talk.heard_out(1)

    assert talk.record.turns[0].interrupted
    assert turn.spoken == "I am still here."
    assert talk.ended is None


async def test_a_noise_during_the_goodbye_of_a_model_does_not_keep_the_line(place: Place) -> None:
    goodbye = "Then I thank you very much for this call and wish you a very nice day."
    talk = await place(_setup([f"{goodbye} ", ToolCall("1", "hang_up")], heard=("",)))
    talk.caller.press("5#")
    await talk.turn(0)
    await asyncio.sleep(0.8)

    talk.say()

    assert (await talk.end()).reason is EndReason.AGENT_HUNG_UP
    assert " ".join(turn.spoken for turn in talk.record.turns) == goodbye


async def test_digits_behind_words_that_were_cut_short_are_not_sent(place: Place) -> None:
    words = "I will press the keys for you now, and then we shall see together what comes of it."
    talk = await place(
        _setup(
            [f"{words} ", ToolCall("1", "send_digits", {"digits": "12#"})],
            ["I am a shop."],
            heard=("Well, what else?",),
        )
    )
    talk.caller.press("5#")
    await talk.turn(0)
    await asyncio.sleep(0.8)

    talk.say()
    await talk.until(lambda: len(talk.record.turns) == 2 and talk.record.turns[1].spoken)

    assert talk.record.turns[0].interrupted
    assert talk.caller.digits == ""


async def test_digits_behind_words_that_a_noise_cut_short_are_sent_after_it(place: Place) -> None:
    words = "I will press the keys for you now, and then we shall see together what comes of it."
    press = ToolCall("1", "send_digits", {"digits": "12#"})
    generator = ToolCallingGenerator([f"{words} ", press], ["Pressed."], ["Once more. ", press], ["Pressed."])
    talk = await place(_setup(generator=generator, heard=("",)))
    talk.caller.press("5#")
    await talk.turn(0)
    await _asked(talk, generator, 2)
    await asyncio.sleep(0.8)

    talk.say()
    turn = await talk.heard_out(1)

    assert talk.record.turns[0].interrupted
    assert turn.spoken == "Once more. Pressed."
    await talk.until(lambda: talk.caller.digits == "12#")


async def test_a_call_that_ends_during_a_request_leaves_nothing_behind(place: Place, shop: _Shop) -> None:
    shop.may_answer.clear()
    talk = await place(_setup([ORDER], [ON_ITS_WAY], http_tool=shop.tool))
    talk.caller.press("5#")
    await talk.until(lambda: shop.orders)

    talk.caller.hang_up()

    assert (await talk.end()).reason is EndReason.CALLER_HUNG_UP


async def test_the_configuration_of_the_guide_runs(place: Place, tmp_path: Path) -> None:
    [configuration] = re.findall(r"```ini\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "app.ini").write_text(configuration, "utf-8")
    loaded = load_settings(tmp_path / "app.ini", {"OPENAI_API_KEY": KEY, "HTTP_TOOL_TOKEN": "s3cret"})
    seen: list[tuple[str, str]] = []

    async def order(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers["Authorization"]))
        return web.json_response({"order": "4711", "arrives": "in 2 days"})

    async def answer(messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        yield ON_ITS_WAY if messages[-1]["role"] == "tool" else ORDER

    application = web.Application()
    application.router.add_get("/api/orders/{order}", order)
    async with OpenAiServer(Script(answer=answer)) as server, TestServer(application) as shop:
        address = loaded[HttpToolSettings].url.replace("https://shop.example.com", str(shop.make_url("/")).rstrip("/"))
        generator = OpenAiGenerator(
            loaded[LlmSettings], loaded[OpenAiSettings].model_copy(update={"url": server.url, "model": MODEL})
        )
        try:
            setup = _setup(generator=generator, http_tool=loaded[HttpToolSettings].model_copy(update={"url": address}))
            setup.dialogue = loaded[DialogueSettings]
            talk = await place(setup)
            talk.caller.press("5#")
            turn = await talk.heard_out(0)
            talk.caller.hang_up()
            await talk.end()
        finally:
            await generator.close()

    assert turn.spoken == ON_ITS_WAY
    assert seen == [("/api/orders/4711", "Bearer s3cret")]


async def test_a_tool_is_called_through_a_server_that_speaks_openai(place: Place) -> None:
    async def answer(messages: WireMessages) -> AsyncGenerator[str | ToolCall, None]:
        if messages[-1]["role"] == "tool":
            yield f"As I see, {messages[-1]['content'].lower()}"
        else:
            yield ToolCall("call_1", "look_up", {"query": "pay by card"})

    async with OpenAiServer(Script(answer=answer)) as server:
        own = OpenAiSettings(url=server.url, api_key=SecretStr(KEY), model=MODEL)
        generator = OpenAiGenerator(LlmSettings(), own)
        try:
            talk = await place(_setup(generator=generator))
            talk.caller.press("5#")
            turn = await talk.heard_out(0)
            talk.caller.hang_up()
            await talk.end()
        finally:
            await generator.close()

    assert turn.spoken == f"As I see, {KNOWLEDGE.entries[1].answer.lower()}"
    [*_, asked, result] = server.script.requests[-1]["messages"]
    assert asked["tool_calls"][0]["function"]["name"] == "look_up"
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_1", "Yes, by card.")
    [warmed] = [request for request in server.script.requests if request["max_tokens"] == 1]
    assert warmed["tools"] == server.script.requests[-1]["tools"]
    assert {tool["function"]["name"] for tool in server.script.requests[-1]["tools"]} == {
        "hang_up",
        "transfer",
        "look_up",
        "send_digits",
    }
