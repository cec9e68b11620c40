"""The reply to what may be all that the caller says, made while they may still go on."""

from core.dialogue.dialogue import Dialogue
from core.pipeline.question import Question
from core.pipeline.reply_audio import PreparedReply, ReplyMaker


class Preparation:
    """At most one reply ahead of its turn."""

    def __init__(self, dialogue: Dialogue, maker: ReplyMaker) -> None:
        self._dialogue = dialogue
        self._maker = maker
        self._prepared: PreparedReply | None = None

    def prepare(self, question: Question) -> None:
        """Begins the reply, unless it is this one that is being made."""
        if self._prepared is None or self._prepared.heard != question.heard:
            self.drop()
            self._prepared = self._begin(question)

    def take(self, question: Question) -> PreparedReply:
        """The reply to the question, begun now where another one was expected. What it asks for may happen."""
        self.prepare(question)
        prepared, self._prepared = self._prepared or self._begin(question), None
        prepared.take()
        return prepared

    def drop(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.cancel()

    def _begin(self, question: Question) -> PreparedReply:
        return PreparedReply(question.heard, question.reply(self._dialogue), self._maker, question.effects)
