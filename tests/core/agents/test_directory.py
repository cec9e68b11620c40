"""Who answers which call, with what, and what is said before anybody calls."""

import asyncio
from pathlib import Path

import pytest

from core.agents.briefing import brief
from core.agents.phrases import PHONE_RATE_HZ, WIDE_RATE_HZ
from core.leg import CallInfo
from core.providers.base import GenerationParameters
from services.common.settings import ConfigurationError
from tests.core.agents.conftest import Configure, Gather, NotedVoice, until

AGENTS = """[session]
welcome_message = Hello.
[agent.sales]
match = ^sales$, ^1
session.welcome_message = Sales.
asr.phrases = Brompton
llm.temperature = 1.5
audio.endpoint_ms = 700
[agent.hundred]
match = ^100$
[agent.hidden]
"""


def call(called: str, **parameters: str) -> CallInfo:
    return CallInfo("call-1", "loopback", "4930", called, parameters=parameters)


@pytest.mark.parametrize(
    ("called", "parameters", "name"),
    [
        ("sales", {}, "sales"),
        ("SALES", {}, "sales"),
        ("100", {}, "sales"),
        ("200", {}, "default"),
        ("", {}, "default"),
        ("200", {"agent": "hundred"}, "hundred"),
        ("200", {"agent": "hidden"}, "hidden"),
        ("sales", {"flavor": "hundred"}, "hundred"),
        ("sales", {"agent": "default"}, "default"),
        ("sales", {"agent": "hundred", "flavor": "sales"}, "hundred"),
        ("sales", {"other": "hundred"}, "sales"),
    ],
)
async def test_the_script_decides_then_the_number_then_the_order_of_the_file(
    configure: Configure, gather: Gather, called: str, parameters: dict[str, str], name: str
) -> None:
    directory = gather(configure(AGENTS))
    assert directory.names == ["default", "sales", "hundred", "hidden"]
    assert directory.choose(call(called, **parameters)).name == name


async def test_an_agent_that_is_asked_for_but_not_there_is_logged(
    configure: Configure, gather: Gather, caplog: pytest.LogCaptureFixture
) -> None:
    assert gather(configure(AGENTS)).choose(call("sales", agent="nobody")).name == "sales"
    assert "no agent has the name that the call asks for" in caplog.text
    assert "nobody" not in caplog.text


async def test_an_agent_converses_by_its_own_settings(configure: Configure, gather: Gather) -> None:
    directory = gather(configure(AGENTS))
    sales, default = directory.choose(call("sales")), directory.default
    assert (sales.make_dialogue().greeting, default.make_dialogue().greeting) == ("Sales.", "Hello.")
    assert sales.make_dialogue() is not sales.make_dialogue()
    assert (sales.phrases, default.phrases) == (("Brompton",), ())
    assert sales.conversations.parameters == GenerationParameters(temperature=1.5)
    assert (sales.conversations.audio.endpoint_ms, default.conversations.audio.endpoint_ms) == (700, 400)
    assert sales.conversations.providers.generator is default.conversations.providers.generator


async def test_agents_that_speak_alike_share_what_is_rendered(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    directory = gather(
        configure(
            AGENTS + "tts.provider = noted\n[agent.low]\nmatch = ^5\ntts.provider = noted\n"
            "tts.noted.pitch = 2\nsession.welcome_message = Low.\n[agent.also]\nmatch = ^6\ntts.provider = noted\n"
        )
    )
    hidden, low, also = (directory.choose(call("", agent=name)) for name in ("hidden", "low", "also"))
    assert hidden.conversations.phrases is also.conversations.phrases
    assert hidden.conversations.phrases is not low.conversations.phrases
    await directory.render()
    first, second = voices
    assert (first.pitch, second.pitch) == (1, 2)
    assert first.said[0] == ("Hello.", PHONE_RATE_HZ)
    assert second.said[0] == ("Low.", PHONE_RATE_HZ)
    assert len(set(first.said)) == len(first.said)
    assert {rate for _, rate in first.said} == {PHONE_RATE_HZ, WIDE_RATE_HZ}
    assert low.conversations.phrases.get("Low.", PHONE_RATE_HZ) == bytes(4)
    assert hidden.conversations.phrases.get("Low.", PHONE_RATE_HZ) is None


async def test_greetings_come_before_everything_else(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    directory = gather(configure(AGENTS, voice="noted"))
    await directory.greet()
    assert voices[0].said == [("Hello.", PHONE_RATE_HZ)]
    await directory.render()
    assert voices[0].said[1] == ("Sales.", PHONE_RATE_HZ)


async def test_a_voice_that_is_away_holds_up_no_other(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    directory = gather(
        configure("[agent.away]\ntts.provider = noted\ntts.noted.pitch = 9\n[agent.here]\ntts.provider = noted\n")
    )
    rendering = asyncio.create_task(directory.render())
    away, here = voices
    await until(lambda: len(here.said) > 5)
    assert away.said == []
    away.may_speak.set()
    await rendering
    assert len(away.said) > 5


async def test_it_is_ready_once_every_provider_is_and_phrases_are_there(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    directory = gather(configure("[agent.late]\ntts.provider = noted\ntts.noted.pitch = 8\n"))
    assert directory.not_ready == ["tts of late"]
    ready = asyncio.create_task(directory.ready())
    await asyncio.sleep(0)
    assert not ready.done()
    voices[0].ready = True
    async with asyncio.timeout(10):
        await ready
    assert directory.not_ready == []
    assert {rate for _, rate in voices[0].said} == {PHONE_RATE_HZ}


async def test_what_a_voice_has_said_is_not_said_again_for_the_next_configuration(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    old = gather(configure("[session]\nwelcome_message = Old.\n", voice="noted"))
    await old.render()
    new = gather(configure("[session]\nwelcome_message = New.\n", voice="noted"))
    new.take_over(old)
    await old.close()
    said = len(voices[0].said)
    await new.render()
    assert len(voices) == 1
    assert voices[0].said[said:] == [("New.", PHONE_RATE_HZ), ("New.", WIDE_RATE_HZ)]
    assert new.default.conversations.phrases.get("Old.", PHONE_RATE_HZ) is None
    assert not voices[0].closed
    await new.close()
    assert voices[0].closed


async def test_another_voice_says_everything_itself(
    configure: Configure, gather: Gather, voices: list[NotedVoice]
) -> None:
    old = gather(configure("", voice="noted"))
    await old.render()
    new = gather(configure("[tts.noted]\npitch = 2\n", voice="noted"))
    new.take_over(old)
    await new.render()
    assert voices[1].said == voices[0].said


async def test_every_file_of_knowledge_that_cannot_be_read_is_told(configure: Configure, tmp_path: Path) -> None:
    good = tmp_path / "good.md"
    good.write_text("Q: When are you open?\nA: From nine to six.\n")
    configuration = configure(
        "[dialogue]\nknowledge = /nowhere/a.md\n[agent.sales]\ndialogue.knowledge = /nowhere/b.md\n"
        f"[agent.good]\ndialogue.knowledge = {good}\n[agent.same]\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        brief(configuration.default, configuration.agents)
    first, second = refused.value.problems
    assert first.startswith("dialogue.knowledge: /nowhere/a.md: ")
    assert second.startswith("agent.sales: dialogue.knowledge: /nowhere/b.md: ")


async def test_each_agent_knows_what_its_file_says(configure: Configure, gather: Gather, tmp_path: Path) -> None:
    shop = tmp_path / "shop.md"
    shop.write_text("Q: When are you open?\nA: From nine to six.\n")
    directory = gather(configure(f"[agent.shop]\ndialogue.knowledge = {shop}\n"))
    shop_dialogue = directory.choose(call("", agent="shop")).make_dialogue()
    assert shop_dialogue.reply("When are you open?").text == "From nine to six."
    assert directory.default.make_dialogue().reply("When are you open?").text is None
