"""Who is evaluated in which step, and who is refused."""

from collections.abc import Sequence

import pytest

from services.llm.engine import EngineFailed, Feed
from services.llm.engines.scripted import CONTROL, ScriptedEngine
from services.llm.generation import Finish, Generation, Job, Usage
from services.llm.scheduler import Scheduler
from services.llm.settings import LlmSettings
from services.llm.tests.factories import MODELS_DIR, make_settings


class Ear:
    """Hears one answer."""

    def __init__(self) -> None:
        self.text = ""
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.detail = ""

    def on_text(self, text: str) -> None:
        assert self.finish is None
        self.text += text

    def on_end(self, finish: Finish, usage: Usage, detail: str) -> None:
        assert self.finish is None
        self.finish, self.usage, self.detail = finish, usage, detail


class Recording(ScriptedEngine):
    """Remembers its steps; a step takes a second of `now_s`."""

    def __init__(self, settings: LlmSettings) -> None:
        super().__init__(settings, MODELS_DIR, reply=lambda said: said.upper())
        self.now_s = 0.0
        self.steps: list[list[Feed]] = []
        self.failing = False

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        self.now_s += 1
        self.steps.append(list(feeds))
        if self.failing:
            raise EngineFailed("broken")
        return super().step(feeds)


class Desk:
    """A scheduler to ask things of."""

    def __init__(self, **given: object) -> None:
        settings = make_settings(
            **{"context_tokens": 1024, "request_tokens": 512, "step_tokens": 32, "parallel": 4, **given}
        )
        self.engine = Recording(settings)
        self.scheduler = Scheduler(self.engine, settings.parallel, clock=lambda: self.engine.now_s)

    def ask(
        self,
        text: str,
        max_tokens: int = 100,
        session_id: str = "",
        stop: tuple[str, ...] = (),
        *,
        pinned: bool = False,
    ) -> tuple[Generation, Ear]:
        prompt = [CONTROL["user"], *text.encode(), CONTROL["assistant"]]
        ear = Ear()
        generation = Generation(
            Job(prompt, max_tokens, stop=stop, session_id=session_id, pinned=pinned), ear, self.engine.now_s
        )
        self.scheduler.add(generation)
        return generation, ear

    def run(self) -> None:
        while self.scheduler.step():
            assert len(self.engine.steps) < 5000


def test_answer_is_the_models_with_its_usage() -> None:
    desk = Desk()
    _, ear = desk.ask("hello")
    desk.run()
    assert (ear.text, ear.finish) == ("HELLO", Finish.STOP)
    assert ear.usage == Usage(prompt_tokens=7, cached_tokens=0, completion_tokens=6, queued_s=0, first_token_s=1)
    assert desk.scheduler.tokens_per_second == 1
    assert not desk.scheduler.step()


def test_answer_ends_at_its_limit() -> None:
    desk = Desk()
    _, ear = desk.ask("hello", max_tokens=3)
    desk.run()
    assert (ear.text, ear.finish) == ("HEL", Finish.LENGTH)


def test_answer_ends_at_a_stop_string() -> None:
    desk = Desk()
    _, ear = desk.ask("hello you", stop=("LO Y",))
    desk.run()
    assert (ear.text, ear.finish) == ("HEL", Finish.STOP)


def test_held_beginning_of_a_stop_string_is_said_at_the_limit() -> None:
    desk = Desk()
    _, ear = desk.ask("hello", max_tokens=3, stop=("LLAMA",))
    desk.run()
    assert ear.text == "HEL"


def test_long_answer_does_not_starve_a_second() -> None:
    desk = Desk()
    _, long = desk.ask("x" * 90, max_tokens=90)
    for _ in range(10):
        desk.scheduler.step()
    _, short = desk.ask("hi")
    for _ in range(3):
        desk.scheduler.step()
    assert (short.text, short.finish) == ("HI", Finish.STOP)
    assert long.finish is None


def test_every_answer_gets_one_token_a_step() -> None:
    desk = Desk()
    ears = [desk.ask(text * 20)[1] for text in "abcd"]
    while not all(ear.text for ear in ears):
        desk.scheduler.step()
    lengths = [len(ear.text) for ear in ears]
    for _ in range(5):
        desk.scheduler.step()
    assert [len(ear.text) for ear in ears] == [length + 5 for length in lengths]


def test_long_prompt_does_not_hold_back_an_answer() -> None:
    desk = Desk()
    _, talking = desk.ask("hello there")
    desk.scheduler.step()
    desk.ask("y" * 300)
    said = len(talking.text)
    for _ in range(5):
        desk.scheduler.step()
        said += 1
        assert len(talking.text) == said
    assert all(sum(len(feed.tokens) for feed in step) <= 32 for step in desk.engine.steps)


def test_short_prompt_is_answered_before_a_long_one_that_came_first() -> None:
    desk = Desk()
    _, long = desk.ask("y" * 200)
    _, short = desk.ask("hi")
    desk.scheduler.step()
    assert short.text == "H"
    assert long.text == ""


def test_short_prompts_are_evaluated_whole_before_the_next() -> None:
    desk = Desk()
    ears = [desk.ask(text * 10)[1] for text in "abc"]
    desk.scheduler.step()
    assert [len(ear.text) for ear in ears] == [1, 1, 0]


def test_long_prompt_that_came_first_gets_on_whatever_comes_after() -> None:
    desk = Desk(parallel=4, sessions_cached=8)
    _, long = desk.ask("y" * 62, max_tokens=1)
    for _ in range(8):
        desk.ask("x" * 30, max_tokens=1)
        desk.scheduler.step()
    assert long.finish is Finish.LENGTH


def test_no_more_run_at_once_than_may_and_the_rest_wait_in_order() -> None:
    desk = Desk(parallel=2)
    ears = [desk.ask(text)[1] for text in ("one", "two", "three")]
    desk.scheduler.step()
    assert (desk.scheduler.active, desk.scheduler.waiting) == (2, 1)
    desk.run()
    assert [ear.text for ear in ears] == ["ONE", "TWO", "THREE"]
    assert ears[2].usage is not None
    assert ears[2].usage.queued_s == 4


def test_one_session_cannot_take_every_place() -> None:
    desk = Desk(parallel=2)
    greedy = [desk.ask("x" * 20, session_id="greedy")[1] for _ in range(3)]
    _, modest = desk.ask("hi", session_id="modest")
    desk.scheduler.step()
    desk.scheduler.step()
    desk.scheduler.step()
    assert modest.text == "HI"
    assert [ear.finish for ear in greedy] == [None] * 3
    desk.run()
    assert [ear.finish for ear in greedy] == [Finish.STOP] * 3


def test_cancelled_request_gets_no_further_token() -> None:
    desk = Desk()
    generation, ear = desk.ask("hello")
    waiting, waiting_ear = desk.ask("unheard")
    desk.scheduler.step()
    generation.cancelled = waiting.cancelled = True
    steps = len(desk.engine.steps)
    assert not desk.scheduler.step()
    assert len(desk.engine.steps) == steps
    assert ear.finish is Finish.CANCELLED
    assert ear.text == "H"
    assert waiting_ear.finish is Finish.CANCELLED


def test_request_cancelled_while_it_waits_never_starts() -> None:
    desk = Desk(parallel=1)
    desk.ask("first")
    generation, ear = desk.ask("second")
    desk.scheduler.step()
    generation.cancelled = True
    desk.run()
    assert (ear.text, ear.finish) == ("", Finish.CANCELLED)


def test_session_reuses_its_prompt_and_answers_the_same() -> None:
    desk = Desk()
    _, first = desk.ask("hello", session_id="a")
    desk.run()
    _, second = desk.ask("hello", session_id="a")
    desk.run()
    assert second.usage is not None
    assert second.usage.cached_tokens == 6
    assert second.text == first.text


def test_warmed_prompt_is_known_to_the_question() -> None:
    desk = Desk()
    _, warm = desk.ask("hello", max_tokens=0, session_id="a")
    desk.run()
    assert (warm.finish, warm.text) == (Finish.LENGTH, "")
    _, again = desk.ask("hello", max_tokens=0, session_id="a")
    assert not desk.scheduler.step()
    assert again.finish is Finish.LENGTH
    _, asked = desk.ask("hello", session_id="b")
    desk.run()
    assert asked.usage is not None
    assert asked.usage.cached_tokens == 6
    assert asked.text == "HELLO"


def test_pinned_prompt_stays() -> None:
    desk = Desk(sessions_cached=4, parallel=4)
    desk.ask("hello", max_tokens=0, pinned=True)
    desk.run()
    for number in range(12):
        desk.ask(f"{number} something else", session_id=str(number))
        desk.run()
    _, asked = desk.ask("hello")
    desk.run()
    assert asked.usage is not None
    assert asked.usage.cached_tokens == 6


def test_failed_step_ends_those_in_it_and_forgets_their_cache() -> None:
    desk = Desk()
    _, ear = desk.ask("hello", session_id="a")
    desk.scheduler.step()
    desk.engine.failing = True
    assert desk.scheduler.step()
    assert (ear.finish, ear.detail) == (Finish.FAILED, "the model failed")
    assert desk.scheduler.cache.used_tokens == 0
    desk.engine.failing = False
    _, after = desk.ask("hello", session_id="a")
    desk.run()
    assert after.text == "HELLO"


def test_request_that_can_never_fit_fails_rather_than_waits() -> None:
    desk = Desk(context_tokens=64, request_tokens=64)
    _, ear = desk.ask("x" * 80)
    desk.run()
    assert (ear.finish, ear.detail) == (Finish.FAILED, "no room in the cache")


def test_request_waits_for_room_in_the_cache() -> None:
    desk = Desk(context_tokens=64, request_tokens=64)
    _, first = desk.ask("x" * 20, max_tokens=30)
    _, second = desk.ask("y" * 20, max_tokens=30)
    desk.scheduler.step()
    assert (desk.scheduler.active, desk.scheduler.waiting) == (1, 1)
    desk.run()
    assert (first.text, second.text) == ("X" * 20, "Y" * 20)


def test_all_can_be_ended() -> None:
    desk = Desk(parallel=1)
    ears = [desk.ask(text)[1] for text in ("one", "two")]
    desk.scheduler.step()
    desk.scheduler.end_all("over")
    assert [(ear.finish, ear.detail) for ear in ears] == [(Finish.FAILED, "over")] * 2
    assert (desk.scheduler.active, desk.scheduler.waiting) == (0, 0)


@pytest.mark.parametrize("step_tokens", [8, 9, 13])
def test_answers_do_not_depend_on_how_prompts_are_cut(step_tokens: int) -> None:
    desk = Desk(step_tokens=step_tokens)
    texts = ["a" * 3, "b" * 40, "c" * 17, "d" * 25, "e" * 8]
    ears = [desk.ask(text)[1] for text in texts]
    desk.run()
    assert [ear.text for ear in ears] == [text.upper() for text in texts]
