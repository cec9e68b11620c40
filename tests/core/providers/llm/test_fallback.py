"""Which model answers, what the caller's side is told, and what becomes of the model that was given up on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from core.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Generated, GenerationParameters, Message, TakenOver, Tool, ToolCall
from core.providers.breaker import CircuitBreaker, State
from core.providers.llm.fallback import FallbackGenerator, without_tools
from core.providers.member import Member
from core.providers.settings import LlmSettings
from core.providers.supply import STOP_TIMEOUT_S
from tests.support.virtual_time import VirtualTime

BUDGET_S = 2.0
QUESTION = (Message("system", "Be brief."), Message("user", "Are you open?"))
PARAMETERS = GenerationParameters()
LOOK_UP = Tool("look_up", "Looks something up.")
Script = Sequence[Generated | float | Exception]


class Model:
    """Answers by a script: what it yields, seconds to wait, an error to fail with."""

    def __init__(self, name: str, script: Script = (), *, calls_tools: bool = False, stop_s: float = 0.0) -> None:
        self.name = name
        self.script = script
        self.calls_tools = calls_tools
        self.ready = True
        self.refusal: ProviderError | None = None
        self.asked: list[tuple[tuple[Message, ...], tuple[Tool, ...]]] = []
        self.warmed: list[str] = []
        self.warmed_for: list[tuple[Tool, ...]] = []
        self.ended: list[str] = []
        self.running = 0
        self._stop_s = stop_s

    async def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        self.asked.append((tuple(messages), tuple(tools)))
        self.running += 1
        try:
            for each in self.script:
                if isinstance(each, float):
                    await asyncio.sleep(each)
                elif isinstance(each, Exception):
                    raise each
                else:
                    yield each
        finally:
            await asyncio.sleep(self._stop_s)
            self.running -= 1

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.warmed_for.append(tuple(tools))
        self.warmed.append(session_id)

    async def end_session(self, session_id: str) -> None:
        self.ended.append(session_id)

    async def close(self) -> None:
        raise AssertionError("the members are somebody else's")


def gone(name: str) -> ProviderUnavailable:
    return ProviderUnavailable(name, "gone")


class List(FallbackGenerator):
    """Models that take over from each other, and their breakers."""

    def __init__(self, *models: Model, failures: int = 2) -> None:
        clock = asyncio.get_running_loop().time
        self.breakers = [CircuitBreaker("llm", model.name, failures, 15.0, clock) for model in models]
        super().__init__(list(map(Member, models, self.breakers)), LlmSettings(budget_ms=int(BUDGET_S * 1000)))

    async def answer(self, tools: Sequence[Tool] = ()) -> list[Generated]:
        return [each async for each in self.generate(QUESTION, PARAMETERS, "call-1", tools)]


async def test_the_first_answers_while_it_is_well(clock: VirtualTime) -> None:
    first, second = Model("a", ["Yes", ", we are."]), Model("b", ["No."])

    assert await List(first, second).answer() == ["Yes", ", we are."]
    assert not second.asked


async def test_a_failure_before_the_first_words_is_not_noticed(clock: VirtualTime) -> None:
    assert await List(Model("a", [gone("a")]), Model("b", ["Yes."])).answer() == ["Yes."]


async def test_a_failure_in_mid_answer_lets_the_next_begin_it_again(clock: VirtualTime) -> None:
    models = Model("a", ["We are open ", gone("a")]), Model("b", ["Yes, ", gone("b")]), Model("c", ["Indeed."])

    assert await List(*models).answer() == ["We are open ", TakenOver("b"), "Yes, ", TakenOver("c"), "Indeed."]


@pytest.mark.parametrize(("script", "begun"), [([60.0, "No."], []), (["We are ", 60.0, "not."], ["We are "])])
async def test_one_that_is_slower_than_its_budget_gives_way_at_once(
    clock: VirtualTime, script: Script, begun: list[str]
) -> None:
    slow = Model("a", script, stop_s=0.5)
    began_s = clock.now()

    answer = await List(slow, Model("b", ["Yes."])).answer()

    assert [each for each in answer if isinstance(each, str)] == [*begun, "Yes."]
    assert clock.now() - began_s == pytest.approx(BUDGET_S)
    assert slow.running, "its end was waited for"
    await asyncio.sleep(0.6)
    assert not slow.running


async def test_words_that_come_within_the_budget_are_not_too_slow(clock: VirtualTime) -> None:
    words: Script = [1.9, "Yes", 1.9, " we", 1.9, " are."]

    assert await List(Model("a", words), Model("b", ["No."])).answer() == ["Yes", " we", " are."]


async def test_the_last_that_is_well_is_waited_for(clock: VirtualTime) -> None:
    first, second = Model("a", [30.0, "Yes."]), Model("b", ["No."])
    second.ready = False

    assert await List(first, second).answer() == ["Yes."]


async def test_the_last_error_is_raised_where_all_fail(clock: VirtualTime) -> None:
    with pytest.raises(ProviderTimeout, match="b"):
        await List(Model("a", [gone("a")]), Model("b", [TimeoutError()])).answer()


async def test_what_no_model_could_answer_is_asked_of_none_other(clock: VirtualTime) -> None:
    second = Model("b", ["Yes."])

    with pytest.raises(ValueError, match="too long"):
        await List(Model("a", [ValueError("too long")]), second).answer()
    assert not second.asked


async def test_one_that_keeps_failing_is_left_out_and_tried_again_later(clock: VirtualTime) -> None:
    first, second = Model("a", [gone("a")]), Model("b", ["Yes."])
    models = List(first, second)
    for _ in range(5):
        await models.answer()
    assert len(first.asked) == 2

    first.script = ["Well again."]
    await asyncio.sleep(15.0)

    assert await models.answer() == ["Well again."]
    assert models.breakers[0].state is State.CLOSED


async def test_one_that_always_dies_in_mid_answer_is_left_out_too(clock: VirtualTime) -> None:
    first = Model("a", ["We ", gone("a")])
    models = List(first, Model("b", ["Yes."]))
    for _ in range(3):
        await models.warm_up(QUESTION, "call-1")
        await models.answer()

    assert len(first.asked) == 2


async def test_one_that_refuses_is_followed_but_not_left_out(clock: VirtualTime) -> None:
    first = Model("a", [ProviderRejected("a", "no such model")])
    models = List(first, Model("b", ["Yes."]), failures=1)
    for _ in range(3):
        assert await models.answer() == ["Yes."]

    assert len(first.asked) == 3


async def test_closing_early_stops_the_work_and_speaks_for_the_model(clock: VirtualTime) -> None:
    first = Model("a", ["Yes. ", "And ", 1.0, "more."])
    models = List(first, Model("b"))
    models.breakers[0].failed("unavailable")
    async with aclosing(models.generate(QUESTION, PARAMETERS, "call-1")) as words:
        await anext(words)

    assert not first.running
    models.breakers[0].failed("unavailable")
    assert models.breakers[0].state is State.CLOSED, "the failure before the answer still counted"


async def test_cancelling_stops_the_work_and_says_nothing_of_the_model(clock: VirtualTime) -> None:
    first = Model("a", [1.0, "Yes."])
    models = List(first, Model("b"), failures=1)
    asking = asyncio.create_task(models.answer())
    await asyncio.sleep(0.5)

    asking.cancel()
    await asyncio.wait({asking})

    assert asking.cancelled()
    assert not first.running
    assert models.breakers[0].state is State.CLOSED


async def test_one_that_does_not_stop_holds_nobody_up_for_long(clock: VirtualTime) -> None:
    stubborn = Model("a", ["Yes. ", 60.0], stop_s=5.0)
    began_s = clock.now()
    models = List(stubborn, Model("b"))
    async with aclosing(models.generate(QUESTION, PARAMETERS, "call-1")) as words:
        await anext(words)

    assert clock.now() - began_s == pytest.approx(STOP_TIMEOUT_S)
    await models.close()
    assert clock.now() - began_s == pytest.approx(2 * STOP_TIMEOUT_S)


async def test_tools_go_to_those_that_call_them(clock: VirtualTime) -> None:
    first, second = Model("a", [gone("a")]), Model("b", ["Yes."], calls_tools=True)
    models = List(first, second)

    await models.answer([LOOK_UP])

    assert models.calls_tools
    assert not List(first, first).calls_tools
    assert (first.asked[0][1], second.asked[0][1]) == ((), (LOOK_UP,))


async def test_an_answer_that_has_asked_for_a_tool_is_not_begun_again(clock: VirtualTime) -> None:
    call = ToolCall("1", "look_up")
    second = Model("b", ["Yes."])

    assert await List(Model("a", ["One moment.", call, gone("a")], calls_tools=True), second).answer([LOOK_UP]) == [
        "One moment.",
        call,
    ]
    assert not second.asked


def test_a_model_without_tools_is_told_what_another_found_out() -> None:
    call = ToolCall("1", "look_up")
    told = without_tools(
        [
            *QUESTION,
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "Open until six.", tool_call_id="1"),
            Message("assistant", "Let me see.", tool_calls=(call,)),
            Message("tool", "Closed on Sunday.", tool_call_id="2"),
        ]
    )

    assert told == [
        QUESTION[0],
        Message("user", "Known facts: Closed on Sunday.\nKnown facts: Open until six.\nAre you open?"),
        Message("assistant", "Let me see."),
    ]


async def test_the_one_that_will_be_asked_is_warmed_and_no_other(clock: VirtualTime) -> None:
    first, second, third = Model("a"), Model("b"), Model("c")
    first.ready = False
    second.refusal = gone("b")
    models = List(first, second, third)

    await models.warm_up(QUESTION[:1], "call-1")

    assert (first.warmed, second.warmed, third.warmed) == ([], [], ["call-1"])


@pytest.mark.parametrize("calls_tools", [False, True])
async def test_a_model_is_warmed_with_the_tools_that_it_will_be_asked_with(
    clock: VirtualTime, calls_tools: bool
) -> None:
    first, second = Model("a", calls_tools=calls_tools), Model("b", calls_tools=True)
    await List(first, second).warm_up(QUESTION[:1], "call-1", [LOOK_UP])

    assert first.warmed_for == [(LOOK_UP,) if calls_tools else ()]


async def test_warming_fails_where_it_fails_everywhere(clock: VirtualTime) -> None:
    first, second = Model("a"), Model("b")
    first.refusal, second.refusal = gone("a"), gone("b")

    with pytest.raises(ProviderUnavailable, match="b"):
        await List(first, second).warm_up(QUESTION[:1], "call-1")


async def test_a_session_ends_where_it_was_seen_once(clock: VirtualTime) -> None:
    first, second, third = Model("a", [gone("a")]), Model("b", ["Yes."]), Model("c")
    models = List(first, second, third)
    await models.answer()

    await models.end_session("call-1")
    await models.end_session("call-1")
    await models.end_session("nobody")

    assert (first.ended, second.ended, third.ended) == (["call-1"], ["call-1"], [])


async def test_it_is_ready_while_any_is_and_goes_by_the_first_ones_name(clock: VirtualTime) -> None:
    first, second = Model("a"), Model("b")
    models = List(first, second)
    first.ready = False
    assert (models.ready, models.name) == (True, "a")

    second.ready = False
    assert not models.ready
    await models.close()
