"""What is made of a model's answer: its words, what it asks for, and what follows."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY

from core.dialogue.action import Action
from core.dialogue.dialogue import Dialogue
from core.dialogue.knowledge import Knowledge, parse
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.errors import ProviderUnavailable
from core.pipeline import answer
from core.pipeline.answer import MAX_CALLS, MAX_TOOL_ROUNDS, Answer, Asking, Pause
from core.pipeline.effects import Effects, KeyPresses, Requests
from core.providers.base import GenerationParameters, Message, TakenOver, ToolCall
from tests.support.tool_calling import Step, ToolCallingGenerator

KNOWLEDGE = Knowledge(parse("Q: What does a tandem cost?\nA: A tandem costs 900 euros."))
DESK = "sip:desk@example.com"
# What every record has: ids and times hold any digits.
USUAL_FIELDS = frozenset(vars(logging.makeLogRecord({})))
EVERYTHING = ["hang_up", "transfer", "send_digits", "look_up"]


@dataclass
class _Heard:
    """What came of one answer."""

    generator: ToolCallingGenerator
    words: list[str] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    pauses: int = 0
    action: Action = Action.LISTEN

    @property
    def results(self) -> list[str]:
        """What the model was told of its calls, when it was asked last."""
        return [message.content for message in self.generator.asked[-1] if message.role == "tool"]


async def _answer(*answers: Sequence[Step], effects: Effects | None = None, **settings: Any) -> _Heard:
    """The answer to a question, all its keys sent as soon as they come."""
    dialogue = DialogueSettings.model_validate({"tools": EVERYTHING, "transfer_target": DESK} | settings)
    heard = _Heard(ToolCallingGenerator(*answers))
    asking = Asking(heard.generator, GenerationParameters(), dialogue, "call", Requests())
    reply = Dialogue(SessionSettings(system_prompt="Be brief."), dialogue, KNOWLEDGE).reply("Well, who are you?")
    made = Answer(reply, asking, effects or Effects())
    async for part in made.parts():
        match part:
            case str():
                heard.words.append(part)
            case KeyPresses():
                heard.digits.append(part.digits)
                part.sent = True
            case Pause():
                heard.pauses += 1
    heard.action = made.action
    return heard


def _counted(tool: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("oavc_tool_calls_total", {"tool": tool, "outcome": outcome}) or 0.0


def _call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(f"call-{name}", name, arguments)


async def test_what_was_looked_up_is_told_to_the_model_and_may_be_spoken() -> None:
    heard = await _answer([_call("look_up", query="cost of a tandem")], ["A tandem costs 900 euros."])

    assert heard.words == ["A tandem costs 900 euros."]
    assert heard.pauses == 0
    [*_, asked, result] = heard.generator.asked[-1]
    assert asked == Message("assistant", "", tool_calls=(_call("look_up", query="cost of a tandem"),))
    assert result == Message("tool", "A tandem costs 900 euros.", tool_call_id="call-look_up")


async def test_a_fact_that_no_tool_gave_is_held_back() -> None:
    heard = await _answer([_call("look_up", query="cost of a tandem")], ["A tandem costs 800 euros."])

    assert heard.words == [DialogueSettings().way_out_message]


async def test_what_the_model_is_told_of_a_mistake_is_no_fact() -> None:
    heard = await _answer([_call("send_digits", digits="x" * 40)], ["You have 32 wishes."])

    assert "32" in heard.results[0]
    assert heard.words == [DialogueSettings().way_out_message]


@pytest.mark.parametrize(("tool", "action"), [("hang_up", Action.HANG_UP), ("transfer", Action.TRANSFER)])
async def test_leaving_follows_the_words_of_the_model(tool: str, action: Action) -> None:
    heard = await _answer(["So long!", _call(tool)])

    assert (heard.words, heard.action, heard.pauses) == (["So long!"], action, 1)
    assert len(heard.generator.asked) == 1


@pytest.mark.parametrize(
    ("tool", "words"),
    [("hang_up", DialogueSettings().goodbye_message), ("transfer", DialogueSettings().transfer_message)],
)
async def test_leaving_without_a_word_is_announced(tool: str, words: str) -> None:
    assert (await _answer([_call(tool)])).words == [words]


async def test_a_call_behind_as_many_sentences_as_are_spoken_is_heard() -> None:
    heard = await _answer(["Thank you. ", "Goodbye! ", "And one more. ", _call("hang_up")], max_sentences=2)

    assert (heard.words, heard.action) == (["Thank you.", "Goodbye!"], Action.HANG_UP)


@pytest.mark.parametrize("after", [asyncio.Event(), ProviderUnavailable("test", "gone")])
async def test_a_call_is_not_waited_for_long_once_all_is_said(after: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "CALLS_AFTER_WORDS_S", 0.05)

    heard = await asyncio.wait_for(_answer(["Thank you. ", "Bye. ", after, _call("hang_up")], max_sentences=1), 2)

    assert (heard.words, heard.action) == (["Thank you."], Action.LISTEN)


async def test_leaving_on_words_that_were_held_back_is_refused() -> None:
    heard = await _answer(["It is 7 o'clock. Bye.", _call("hang_up")], ["I do not know the time."])

    assert (heard.words, heard.action) == (["I do not know the time."], Action.LISTEN)
    assert "not spoken" in heard.results[0]


async def test_a_question_is_looked_up_although_its_announcement_was_held_back() -> None:
    heard = await _answer(["Let me check 4711 for you. ", _call("look_up", query="cost of a tandem")], ["900 euros."])

    assert heard.words == ["900 euros."]


async def test_keys_are_sent_behind_the_words_before_them() -> None:
    heard = await _answer(["One moment.", _call("send_digits", digits="12#")], ["Done."])

    assert (heard.words, heard.digits, heard.pauses) == (["One moment.", "Done."], ["12#"], 1)


async def test_keys_that_were_sent_for_a_question_are_not_sent_again() -> None:
    effects = Effects()
    await _answer([_call("send_digits", digits="12#")], ["Done."], effects=effects)

    again = await _answer([_call("send_digits", digits="12#")], ["Done."], effects=effects)

    assert again.digits == []
    assert "not done again" in again.results[0]


async def test_keys_that_wait_to_be_sent_are_not_asked_for_twice() -> None:
    dialogue = DialogueSettings.model_validate({"tools": EVERYTHING})
    press = _call("send_digits", digits="12#")
    generator = ToolCallingGenerator([press, press], [press], ["Done."])
    asking = Asking(generator, GenerationParameters(), dialogue, "call", Requests())
    reply = Dialogue(SessionSettings(), dialogue, KNOWLEDGE).reply("Well, who are you?")

    parts = [part async for part in Answer(reply, asking, Effects()).parts()]

    assert [part.digits for part in parts if isinstance(part, KeyPresses)] == ["12#"]


async def test_keys_that_never_left_are_sent_by_the_next_answer() -> None:
    effects = Effects()
    lost = effects.press("12#")
    assert lost is not None

    assert (await _answer([_call("send_digits", digits="12#")], ["Done."], effects=effects)).digits == ["12#"]


@pytest.mark.parametrize(
    ("call", "label"),
    [
        (_call("send_money", to="me"), "unknown"),
        (_call("look_up"), "look_up"),
        (_call("transfer", target="+1900555"), "transfer"),
    ],
)
async def test_a_call_that_cannot_be_is_told_to_the_model_and_counted(call: ToolCall, label: str) -> None:
    before = _counted(label, "refused")

    heard = await _answer([call], ["I am sorry."])

    assert (heard.words, heard.action) == (["I am sorry."], Action.LISTEN)
    assert heard.results[0]
    assert _counted(label, "refused") == before + 1


async def test_a_model_that_calls_for_ever_is_asked_for_words_in_the_end() -> None:
    before = _counted("look_up", "refused")

    heard = await _answer([_call("look_up", query="cost of a tandem")])

    assert heard.words == [DialogueSettings().way_out_message]
    assert [bool(tools) for tools in heard.generator.offered] == [True] * MAX_TOOL_ROUNDS + [False]
    assert _counted("look_up", "refused") == before + 1


async def test_only_so_many_calls_of_one_answer_are_carried_out() -> None:
    heard = await _answer([_call("look_up", query="cost of a tandem")] * (MAX_CALLS + 3), ["900 euros."])

    assert len(heard.results) == MAX_CALLS


async def test_several_calls_are_done_in_order_and_the_first_way_to_leave_counts() -> None:
    heard = await _answer(
        [_call("look_up", query="cost of a tandem"), _call("transfer"), _call("hang_up")], ["900 euros. Hold on."]
    )

    assert (heard.words, heard.action) == (["900 euros.", "Hold on."], Action.TRANSFER)
    assert len(heard.results) == 3


async def test_words_said_before_a_call_are_not_said_again_after_it() -> None:
    heard = await _answer(
        ["Let me see. ", _call("look_up", query="cost of a tandem")], ["Let me see. It costs 900 euros."]
    )

    assert heard.words == ["Let me see.", "It costs 900 euros."]


async def test_each_answer_may_have_its_sentences() -> None:
    heard = await _answer(
        ["Let me see. ", _call("look_up", query="cost of a tandem")], ["It costs 900 euros. Bye."], max_sentences=1
    )

    assert heard.words == ["Let me see.", "It costs 900 euros."]


async def test_a_clause_that_another_provider_says_again_is_skipped() -> None:
    heard = await _answer(["I am a shop. I se", TakenOver("second"), "I am a shop. I sell bicycles. "])

    assert heard.words == ["I am a shop.", "I sell bicycles."]


async def test_a_model_that_repeats_itself_is_cut_short() -> None:
    assert (await _answer(["I am a shop. I am a shop. I sell."], max_sentences=9)).words == ["I am a shop."]


async def test_calls_of_a_provider_that_was_taken_over_from_are_void() -> None:
    heard = await _answer(["Bye. ", _call("hang_up"), TakenOver("second"), "What else? "])

    assert (heard.words, heard.action) == (["Bye.", "What else?"], Action.LISTEN)


async def test_a_model_that_calls_no_tools_is_offered_none() -> None:
    dialogue = DialogueSettings()
    generator = ToolCallingGenerator(["Hm.", _call("hang_up")])
    generator.calls_tools = False
    asking = Asking(generator, GenerationParameters(), dialogue, "call", Requests())
    made = Answer(Dialogue(SessionSettings(), dialogue, KNOWLEDGE).reply("Who are you?"), asking, Effects())

    assert [part async for part in made.parts()] == ["Hm."]
    assert (generator.offered, made.action) == ([()], Action.LISTEN)


async def test_no_argument_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "core"):
        await _answer([_call("send_digits", digits="987"), _call("steal_987", query="987")], ["Done."])

    logged = [record for record in caplog.records if record.name == "core.pipeline.answer"]
    assert {record.getMessage() for record in logged} == {"tool called"}
    own = [{name: value for name, value in vars(record).items() if name not in USUAL_FIELDS} for record in logged]
    assert own
    assert "987" not in str(own)
