"""Which prompts stay in the cache, and who shares them."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.llm.engine import Feed
from services.llm.engines.scripted import ScriptedEngine
from services.llm.prefix_cache import Place, PrefixCache
from services.llm.tests.factories import MODELS_DIR, make_settings


def make_engine(context_tokens: int = 64, sessions: int = 3) -> ScriptedEngine:
    wanted = make_settings(
        context_tokens=context_tokens,
        request_tokens=min(context_tokens, 48),
        step_tokens=64,
        sessions_cached=sessions,
        parallel=sessions,
    )
    return ScriptedEngine(wanted, MODELS_DIR)


class Harness:
    """A cache and its engine, used as the scheduler uses them."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.cache = PrefixCache(engine)

    def begin(self, session_id: str, prompt: str, answer_tokens: int = 4) -> tuple[Place, int] | None:
        place = self.cache.acquire(session_id, list(prompt.encode()), answer_tokens)
        if place is None:
            return None
        cached = len(place.tokens)
        self.extend(place, prompt[cached:])
        return place, cached

    def extend(self, place: Place, text: str) -> None:
        tokens = list(text.encode())
        if tokens:
            self.engine.step([Feed(place.sequence, tokens, len(place.tokens))])
            self.cache.append(place, tokens)

    def ask(self, session_id: str, prompt: str, answer: str = "yes") -> int:
        """A whole request; how much of its prompt was known."""
        begun = self.begin(session_id, prompt, len(answer) + 1)
        assert begun is not None
        place, cached = begun
        self.extend(place, answer)
        self.cache.release(place)
        return cached


def test_session_finds_what_it_said_before() -> None:
    harness = Harness(make_engine())
    assert harness.ask("a", "hello ") == 0
    assert harness.ask("a", "hello yes bye ") == len("hello yes")


def test_last_token_of_a_known_prompt_is_evaluated_again() -> None:
    harness = Harness(make_engine())
    harness.ask("a", "hello")
    assert harness.ask("a", "hello") == 4


def test_prompt_that_is_only_warmed_may_be_known_entirely() -> None:
    harness = Harness(make_engine())
    harness.ask("a", "hello")
    place = harness.cache.acquire("a", list(b"hello"), 0)
    assert place is not None
    assert bytes(place.tokens) == b"hello"


def test_common_beginning_is_shared_and_held_once() -> None:
    harness = Harness(make_engine())
    harness.ask("a", "system prompt: A")
    before = harness.cache.used_tokens
    assert harness.ask("b", "system prompt: B") == len("system prompt: ")
    assert harness.cache.used_tokens == before + len("Byes")


def test_beginning_is_shared_from_a_request_that_still_runs() -> None:
    harness = Harness(make_engine())
    first = harness.begin("a", "system A")
    second = harness.begin("a", "system B")
    assert first is not None
    assert second is not None
    assert second[0] is not first[0]
    assert second[1] == len("system ")


def test_session_longest_idle_loses_its_place() -> None:
    harness = Harness(make_engine(sessions=2))  # three sequences
    for session in "abc":
        harness.ask(session, session * 8)
    harness.ask("a", "a" * 9)
    harness.ask("d", "d" * 8)
    assert harness.ask("a", "a" * 10) >= 8
    assert harness.ask("b", "b" * 9) == 0


def test_no_place_while_all_are_busy() -> None:
    harness = Harness(make_engine(sessions=1))
    assert harness.begin("a", "aaaa")
    assert harness.begin("b", "bbbb")
    assert harness.begin("c", "cccc") is None


def test_no_room_while_running_requests_may_still_need_it() -> None:
    harness = Harness(make_engine(context_tokens=64))
    begun = harness.begin("a", "a" * 30, answer_tokens=10)
    assert begun
    assert harness.begin("b", "b" * 20, answer_tokens=10) is None
    harness.cache.release(begun[0])
    assert harness.begin("b", "b" * 20, answer_tokens=10) is not None


def test_request_without_room_evicts_nobody() -> None:
    harness = Harness(make_engine(context_tokens=64))
    harness.ask("idle", "i" * 10)
    assert harness.begin("a", "a" * 30, answer_tokens=18)
    assert harness.begin("b", "b" * 20, answer_tokens=10) is None
    assert harness.ask("idle", "i" * 11) == 10


def test_idle_sessions_are_evicted_for_room_in_tokens() -> None:
    harness = Harness(make_engine(context_tokens=64))
    harness.ask("a", "a" * 20)
    harness.ask("b", "b" * 20)
    harness.ask("c", "c" * 20)
    assert harness.ask("b", "b" * 21) == 20
    assert harness.ask("a", "a" * 21) == 0


def test_pinned_prompt_outlives_all_others() -> None:
    harness = Harness(make_engine(sessions=1))
    begun = harness.begin("", "system prompt", 0)
    assert begun
    harness.cache.release(begun[0], pinned=True)
    assert harness.cache.request_tokens_max == 48
    for session in "abc":
        harness.ask(session, session * 40)
    assert harness.ask("d", "system prompt: hello") == len("system prompt")


def test_pinned_prompt_lowers_what_a_request_may_hold() -> None:
    harness = Harness(make_engine(context_tokens=48 + 16))
    begun = harness.begin("", "p" * 30, 0)
    assert begun
    harness.cache.release(begun[0], pinned=True)
    assert harness.cache.request_tokens_max == 34


def test_forgotten_session_is_freed() -> None:
    harness = Harness(make_engine())
    harness.ask("a", "hello")
    assert harness.cache.forget("a")
    assert harness.cache.used_tokens == 0
    assert not harness.cache.forget("a")
    assert not harness.cache.forget("")


def test_forgotten_session_keeps_what_still_runs() -> None:
    harness = Harness(make_engine())
    begun = harness.begin("a", "hello")
    assert begun
    assert harness.cache.forget("a")
    harness.extend(begun[0], "yes")
    harness.cache.release(begun[0])
    assert not harness.cache.forget("a")


class Forgetful(ScriptedEngine):
    """A model whose state cannot be cut: it keeps all, or nothing."""

    def truncate(self, sequence: int, length: int) -> int:
        return super().truncate(sequence, 0)

    def share(self, source: int, target: int, length: int) -> int:
        return 0


def test_engine_that_cannot_cut_starts_anew() -> None:
    harness = Harness(Forgetful(make_settings(), MODELS_DIR))
    harness.ask("a", "hello")
    assert harness.ask("a", "help") == 0
    assert harness.ask("b", "help") == 0


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_asked_the_engine_has_room_and_holds_what_the_cache_says(data: st.DataObject) -> None:
    engine = make_engine(context_tokens=64, sessions=3)
    harness = Harness(engine)
    running: list[Place] = []
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["ask", "ask", "ask", "release", "extend", "forget"]))
        session = data.draw(st.sampled_from(["", "a", "b", "c", "d"]))
        if action == "ask":
            prompt = data.draw(st.text(alphabet="xy", min_size=1, max_size=20))
            begun = harness.begin(session, prompt, data.draw(st.integers(0, 10)))
            assert begun or running
            if begun:
                running.append(begun[0])
        elif action == "forget":
            harness.cache.forget(session)
        elif running:
            place = data.draw(st.sampled_from(running))
            if action == "release":
                running.remove(place)
                harness.cache.release(place)
            elif place.reserved:
                # The engine raises should the cache have promised more than there is.
                harness.extend(place, "z")
        for place in harness.cache._places:
            assert place.tokens == engine.tokens(place.sequence)
        assert harness.cache.used_tokens == engine.used_tokens
