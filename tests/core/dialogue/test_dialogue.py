"""Which reply a caller gets."""

import pytest

from core.dialogue.action import Action
from core.dialogue.dialogue import NOTHING_SAID_YET, Dialogue, fixed_phrases
from core.dialogue.knowledge import Knowledge, parse
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.providers.base import Message

KNOWLEDGE = Knowledge(
    parse("Q: When are you open?\nA: From nine to six.\n\nQ: press 1\nA: You chose sales.\n\nWe sell tandem bicycles.")
)


def _dialogue(**settings: object) -> Dialogue:
    return Dialogue(SessionSettings(system_prompt="Be brief."), DialogueSettings.model_validate(settings), KNOWLEDGE)


def test_a_known_question_is_answered_word_for_word() -> None:
    reply = _dialogue().reply("When are you open?")

    assert (reply.source, reply.text, reply.action) == ("knowledge", "From nine to six.", Action.LISTEN)


def test_an_unknown_question_goes_to_the_model_with_what_was_found() -> None:
    reply = _dialogue().reply("What is a tandem?")

    assert reply.source == "model"
    assert reply.text is None
    assert reply.messages[0] == Message("system", "Be brief.")
    assert "We sell tandem bicycles." in reply.messages[-1].content
    assert "What is a tandem?" in reply.messages[-1].content
    assert reply.given == ("Be brief.", "We sell tandem bicycles.")


def test_a_question_about_nothing_known_is_shown_as_it_is() -> None:
    assert _dialogue().reply("Who painted this?").messages[-1] == Message("user", "Who painted this?")


def test_the_model_is_shown_what_was_said_before() -> None:
    dialogue = _dialogue()
    dialogue.conversation.begin("Who are you?").spoken = "A bicycle shop."

    messages = dialogue.reply("Since which year?").messages

    assert messages[1:3] == (Message("user", "Who are you?"), Message("assistant", "A bicycle shop."))


def test_preparing_a_reply_changes_nothing() -> None:
    dialogue = _dialogue()

    assert dialogue.reply("When are you open?") == dialogue.reply("When are you open?")
    assert dialogue.conversation.exchanges == []


def test_goodbye_ends_the_call_once_it_was_said() -> None:
    reply = _dialogue(goodbye_message="So long.").reply("Goodbye!")

    assert (reply.text, reply.action) == ("So long.", Action.HANG_UP)


def test_a_person_is_put_through_only_where_one_is_configured() -> None:
    reached = _dialogue(transfer_target="sip:desk@example.com").reply("Can I speak to someone?")
    nobody = _dialogue().reply("Can I speak to someone?")

    assert reached.action is Action.TRANSFER
    assert nobody.action is Action.LISTEN
    assert "nobody is available" in (nobody.text or "")


def test_repeat_says_again_what_was_heard() -> None:
    dialogue = _dialogue()
    assert dialogue.reply("Pardon?").text == NOTHING_SAID_YET

    dialogue.conversation.begin("When?").spoken = "From nine"

    assert dialogue.reply("Pardon?").text == "From nine"


@pytest.mark.parametrize("said", ["Hello?", "Thank you."])
def test_courtesies_need_no_model(said: str) -> None:
    assert _dialogue().reply(said).source == "dialogue"


def test_a_key_asks_for_a_person_or_for_what_the_knowledge_has() -> None:
    dialogue = _dialogue(transfer_target="sip:desk@example.com")

    assert dialogue.reply_to_digits("0").action is Action.TRANSFER
    assert dialogue.reply_to_digits("1").text == "You chose sales."
    assert dialogue.reply_to_digits("77").source == "model"


def test_fixed_phrases_are_all_that_may_be_said_word_for_word_the_greeting_first() -> None:
    session, settings = SessionSettings(), DialogueSettings(filler_message="")

    phrases = fixed_phrases(session, settings, KNOWLEDGE)

    assert phrases[0] == session.welcome_message
    assert {"From nine to six.", "You chose sales.", settings.apology_message} <= set(phrases)
    assert "" not in phrases
    assert "We sell tandem bicycles." not in phrases
    assert len(phrases) == len(set(phrases))
