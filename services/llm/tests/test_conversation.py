"""One conversation out of system prompt, facts, messages and text."""

from services.llm.conversation import assemble
from services.llm.engine import Message


def test_system_prompt_comes_before_and_text_after_the_messages() -> None:
    told = assemble(" Be kind. ", [Message("user", "Hi"), Message("assistant", "Hello")], " Bye ")
    assert told == [
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "Bye"),
    ]


def test_leading_system_messages_and_facts_become_one() -> None:
    told = assemble("A", [Message("system", "B"), Message("user", "Hi")], facts={"name": "Ann", "table": "4"})
    assert told == [
        Message("system", "A\n\nB\n\nKnown about this call:\n- name: Ann\n- table: 4"),
        Message("user", "Hi"),
    ]


def test_later_system_message_stays_where_it_is() -> None:
    told = assemble("", [Message("user", "Hi"), Message("system", "The caller is angry.")])
    assert [message.role for message in told] == ["user", "system"]


def test_blank_messages_are_left_out() -> None:
    assert assemble(" ", [Message("assistant", "\n"), Message("user", "Hi")], "  ") == [Message("user", "Hi")]
    assert assemble("", []) == []
