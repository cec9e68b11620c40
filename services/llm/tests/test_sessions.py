"""Facts of sessions: kept, bounded, forgotten."""

import pytest

from services.llm.sessions import FACTS_MAX, NAME_MAX_CHARS, VALUE_MAX_CHARS, Sessions


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(sessions_max=2, ttl_s=60, clock=clock)


def test_facts_are_added_replaced_and_removed(sessions: Sessions) -> None:
    assert sessions.update("a", {"name": "Ann", "table": "4"}) == 2
    assert sessions.update("a", {"name": "Anna\n Smith", "table": ""}) == 1
    assert sessions.facts("a") == {"name": "Anna Smith"}
    assert sessions.facts("b") == {}


def test_silent_session_is_forgotten(sessions: Sessions, clock: Clock) -> None:
    sessions.update("a", {"name": "Ann"})
    sessions.update("b", {"name": "Bob"})
    clock.now_s += 40
    assert sessions.facts("a")
    clock.now_s += 40
    assert sessions.facts("a")
    assert sessions.facts("b") == {}
    assert len(sessions) == 1


def test_session_longest_silent_makes_room(sessions: Sessions) -> None:
    sessions.update("a", {"name": "Ann"})
    sessions.update("b", {"name": "Bob"})
    sessions.facts("a")
    sessions.update("c", {"name": "Cid"})
    assert [bool(sessions.facts(each)) for each in "abc"] == [True, False, True]


def test_ended_session_is_gone(sessions: Sessions) -> None:
    sessions.update("a", {"name": "Ann"})
    assert sessions.end("a")
    assert not sessions.end("a")
    assert sessions.facts("a") == {}


@pytest.mark.parametrize(
    ("updates", "reason"),
    [
        ({" ": "x"}, "name of a fact"),
        ({"n" * (NAME_MAX_CHARS + 1): "x"}, "name of a fact"),
        ({"n": "v" * (VALUE_MAX_CHARS + 1)}, "characters of"),
        ({str(i): "x" for i in range(FACTS_MAX + 1)}, "at most"),
    ],
)
def test_too_much_is_refused_and_changes_nothing(sessions: Sessions, updates: dict[str, str], reason: str) -> None:
    sessions.update("a", {"name": "Ann"})
    with pytest.raises(ValueError, match=reason):
        sessions.update("a", updates)
    assert sessions.facts("a") == {"name": "Ann"}
