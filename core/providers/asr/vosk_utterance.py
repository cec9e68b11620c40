"""One utterance on a connection to a Vosk server: from its first audio to the text that answers its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from core.errors import ProviderTimeout, ProviderUnavailable
from core.providers.base import Transcript
from core.providers.web_socket import Received, WebSocketConnection

# The servers compare them as text: with other spaces they are something else.
EOF = '{"eof" : 1}'
RESET = '{"reset" : 1}'
# A server so far behind is given up, with what it had read by then.
FINAL_TIMEOUT_S = 3.0
# What a recogniser with a list of phrases says for a word outside it.
_UNKNOWN = "[unk]"


class VoskUtterance:
    """`send` and `end` are called by one task, `transcripts` is read by another.

    Every message of audio is answered with a partial result, or with the text of an utterance that the server
    ended; so is `end_word`, EOF or RESET. After eof some servers close the connection, others leave that to us.
    """

    def __init__(
        self, provider: str, connection: WebSocketConnection, end_word: str, noise_words: frozenset[str] = frozenset()
    ) -> None:
        self.connection = connection
        self._provider = provider
        self._end_word = end_word
        self._noise_words = noise_words
        self._heard_noise = False
        self._clock = asyncio.get_running_loop().time
        self._sent = 0
        self._answered = 0
        self._ended = ""
        self._partial = ""
        self._utterance_id: int | None = None
        self._asked_s = 0.0
        self._deadline: asyncio.Timeout | None = None

    async def send(self, pcm: bytes) -> None:
        self._sent += 1
        await self.connection.send(pcm)

    async def end(self, utterance_id: int) -> None:
        """No audio follows."""
        self._utterance_id = utterance_id
        self._asked_s = self._clock()
        if self._deadline is not None:
            self._deadline.reschedule(self._asked_s + FINAL_TIMEOUT_S)
        await self.connection.send(self._end_word)

    @property
    def is_last(self) -> bool:
        """Whether its connection serves no other."""
        return self._end_word == EOF

    def following(self) -> "VoskUtterance":
        """The next one on the same connection; read when this one is."""
        return VoskUtterance(self._provider, self.connection, self._end_word, self._noise_words)

    async def transcripts(self) -> AsyncIterator[Transcript]:
        """Interim and stable ones, then one final, with which they end.

        Raises:
            ProviderUnavailable: the connection ended before the utterance.
            ProviderTimeout: its end was not answered in time; the final with what had been read came before.
        """
        while True:
            try:
                message = await self._receive()
            except TimeoutError as error:
                if self._text:
                    yield self._final()
                raise ProviderTimeout(self._provider, "no text came at the end of an utterance") from error
            if message is None:
                if self._utterance_id is None:
                    raise ProviderUnavailable(self._provider, "the server closed the connection")
                break
            self._answered += 1
            fields = parsed(message)
            if self._utterance_id is not None and self._answered > self._sent and "partial" not in fields:
                self._note_text(fields)
                break
            interim = self._interim(fields)
            if interim is not None and interim.text:
                yield interim
        yield self._final()

    async def _receive(self) -> Received | None:
        due_s = None if self._utterance_id is None else self._asked_s + FINAL_TIMEOUT_S
        self._deadline = asyncio.timeout_at(due_s)
        try:
            async with self._deadline:
                return await self.connection.receive()
        finally:
            self._deadline = None

    @property
    def _text(self) -> str:
        return f"{self._ended} {self._partial}".strip()

    def _interim(self, fields: dict[str, Any]) -> Transcript | None:
        if "partial" in fields:
            self._partial = self._without_noise(words(fields["partial"]))
            return Transcript(self._text, is_current=self._sent - self._answered <= 1)
        if text_of(fields) is None:
            return None
        self._note_text(fields)
        return Transcript(self._text, is_stable=True)

    def _note_text(self, fields: dict[str, Any]) -> None:
        text = text_of(fields)
        if text is not None:
            self._ended, self._partial = f"{self._ended} {self._without_noise(text)}".strip(), ""

    def _without_noise(self, text: str) -> str:
        """Nothing, where that is all it heard; among other words such a word may have been said."""
        if text and self._noise_words.issuperset(text.split()):
            self._heard_noise = True
            return ""
        return text

    def _final(self) -> Transcript:
        text = self._text
        return Transcript(
            text,
            is_final=True,
            utterance_id=self._utterance_id or 0,
            processing_ms=(self._clock() - self._asked_s) * 1000,
            rejected_reason="" if text else "noise" if self._heard_noise else "silence",
        )


def parsed(message: Received) -> dict[str, Any]:
    """The fields of a reply; none where it is not one."""
    try:
        fields = json.loads(message)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def text_of(fields: dict[str, Any]) -> str | None:
    """The text of an ended utterance, in either of Vosk's forms; None where it is something else."""
    alternatives = fields.get("alternatives")
    if isinstance(alternatives, list) and alternatives and isinstance(alternatives[0], dict):
        fields = alternatives[0]
    return words(fields["text"]) if "text" in fields else None


def words(text: object) -> str:
    return " ".join(word for word in text.split() if word != _UNKNOWN) if isinstance(text, str) else ""
