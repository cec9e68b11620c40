"""Decides each reply: a fixed phrase, an answer from knowledge word for word, or a question to the model."""

from core.dialogue.action import Action
from core.dialogue.conversation import Conversation
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.intents import Intent, recognise
from core.dialogue.knowledge import Knowledge
from core.dialogue.reply import Reply
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.dialogue.tools import Toolbox
from core.providers.base import Message

YOU_ARE_WELCOME = "You are welcome. Is there anything else?"
HOW_CAN_I_HELP = "Hello! How can I help you?"
NOTHING_SAID_YET = "I have not said anything yet. How can I help you?"


class Dialogue:
    """One call's decisions. `reply` changes nothing, so a reply may be prepared before the caller has finished."""

    def __init__(
        self,
        session: SessionSettings,
        settings: DialogueSettings,
        knowledge: Knowledge,
        http_tool: HttpToolSettings | None = None,
    ) -> None:
        self.settings = settings
        self.conversation = Conversation()
        self._session = session
        self._knowledge = knowledge
        self.tools = Toolbox(settings, knowledge, http_tool or HttpToolSettings())

    @property
    def greeting(self) -> str:
        return self._session.welcome_message

    def reply(self, heard: str) -> Reply:
        """The reply to what the caller said."""
        intent = recognise(heard)
        if intent is not None:
            return self._reply_to_intent(intent)
        match = self._knowledge.answer(heard, self.settings.answer_threshold)
        if match is not None:
            return Reply("knowledge", match.entry.answer)
        return self._ask_model(heard)

    def reply_to_digits(self, digits: str) -> Reply:
        """The reply to keys: a person for the key that asks for one, else what the knowledge has for "press 1"."""
        if digits == self.settings.transfer_digit:
            return self._transfer()
        match = self._knowledge.answer(f"press {' '.join(digits)}", self.settings.answer_threshold)
        if match is not None:
            return Reply("knowledge", match.entry.answer)
        return self._ask_model(f"The caller pressed the keys {' '.join(digits)}.")

    def opening(self) -> tuple[Message, ...]:
        """What every prompt of this call begins with, for warming the model."""
        return (Message("system", self._session.system_prompt),)

    def _reply_to_intent(self, intent: Intent) -> Reply:
        match intent:
            case Intent.GOODBYE:
                return Reply("dialogue", self.settings.goodbye_message, action=Action.HANG_UP)
            case Intent.TRANSFER:
                return self._transfer()
            case Intent.REPEAT:
                return Reply("dialogue", self.conversation.last_spoken or NOTHING_SAID_YET)
            case Intent.THANKS:
                return Reply("dialogue", YOU_ARE_WELCOME)
            case Intent.GREETING:
                return Reply("dialogue", HOW_CAN_I_HELP)

    def _transfer(self) -> Reply:
        if not self.settings.transfer_target:
            return Reply("dialogue", self.settings.no_transfer_message)
        return Reply("dialogue", self.settings.transfer_message, action=Action.TRANSFER)

    def _ask_model(self, heard: str) -> Reply:
        found = [
            match.entry.answer
            for match in self._knowledge.search(heard)
            if match.score >= self.settings.retrieval_threshold
        ]
        history = self.conversation.messages(self._session.max_conversation_length)
        question = f"Known facts: {' '.join(found)}\nQuestion: {heard}" if found else heard
        messages = (*self.opening(), *history, Message("user", question))
        # What the caller says is no source: "you cost five dollars" does not make it so.
        given = (*(message.content for message in (*self.opening(), *history) if message.role != "user"), *found)
        return Reply("model", messages=messages, given=given, tools=self.tools)

    def fixed_phrases(self) -> list[str]:
        """Everything that may be said word for word, the most urgent first: kept rendered."""
        return fixed_phrases(self._session, self.settings, self._knowledge)


def fixed_phrases(session: SessionSettings, settings: DialogueSettings, knowledge: Knowledge) -> list[str]:
    """What a call of this configuration may say word for word, the most urgent first."""
    phrases = [
        session.welcome_message,
        settings.apology_message,
        settings.filler_message,
        settings.way_out_message,
        settings.goodbye_message,
        settings.idle_prompt,
        settings.transfer_message,
        settings.no_transfer_message,
        *(entry.answer for entry in knowledge.entries if entry.questions),
        YOU_ARE_WELCOME,
        HOW_CAN_I_HELP,
        NOTHING_SAID_YET,
    ]
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))
