"""What can stand behind the Vosk wire: objects with the methods of vosk.KaldiRecognizer."""

import json
from array import array
from collections.abc import Callable, Iterator
from typing import Protocol

LOUD_LEVEL = 500
# Vosk's rule 2 for models whose reading is sure (conf/model.conf: endpoint.rule2.min-trailing-silence).
ENDPOINT_S = 0.5
WORD_S = 0.2
# Kaldi hears the last word only with what follows it.
LAG_S = 0.3
MIN_SPEECH_S = 0.1
PASS_EVERY_S = 2.0
TAIL_S = 0.2

Transcribe = Callable[[bytes, int], str]


class Decoder(Protocol):
    """One utterance after another; the names are Vosk's."""

    def AcceptWaveform(self, pcm: bytes) -> bool: ...  # noqa: N802
    def Result(self) -> str: ...  # noqa: N802
    def PartialResult(self) -> str: ...  # noqa: N802
    def FinalResult(self) -> str: ...  # noqa: N802


# A decoder for audio of a rate, and for the phrases it may hear, if these are all.
MakeDecoder = Callable[[float, list[str] | None], Decoder]


class EnergyDecoder:
    """Takes what is loud for speech, and ends an utterance after a pause."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._clear()

    def AcceptWaveform(self, pcm: bytes) -> bool:  # noqa: N802
        samples = array("h", pcm)
        length_s = len(samples) / self._rate_hz
        if samples and max(samples) > LOUD_LEVEL:
            self.loud_s += length_s
            self.quiet_s = 0.0
        else:
            self.quiet_s += length_s
        self.accept(pcm)
        return self.loud_s >= MIN_SPEECH_S and self.quiet_s >= ENDPOINT_S

    def Result(self) -> str:  # noqa: N802
        text = self.text() if self.loud_s >= MIN_SPEECH_S else ""
        self._clear()
        words = [{"conf": 1.0, "start": 0.0, "end": 0.1, "word": word} for word in text.split()]
        return json.dumps({"result": words, "text": text} if words else {"text": text})

    def PartialResult(self) -> str:  # noqa: N802
        return json.dumps({"partial": self.partial() if self.loud_s >= MIN_SPEECH_S else ""})

    def FinalResult(self) -> str:  # noqa: N802
        return self.Result()

    def accept(self, pcm: bytes) -> None:
        """What else is to be done with the audio."""

    def text(self) -> str:
        raise NotImplementedError

    def partial(self) -> str:
        raise NotImplementedError

    def clear(self) -> None:
        """The utterance is over."""

    def _clear(self) -> None:
        self.loud_s = 0.0
        self.quiet_s = 0.0
        self.clear()


class ScriptedDecoder(EnergyDecoder):
    """Hears the next of the lines in each utterance, word by word, late by what Kaldi is."""

    def __init__(self, rate_hz: float, lines: Iterator[str]) -> None:
        self._lines = lines
        self._line: str | None = None
        super().__init__(rate_hz)

    def text(self) -> str:
        if self._line is None:
            self._line = next(self._lines, "")
        return self._line

    def partial(self) -> str:
        words = self.text().split()
        if self.quiet_s >= LAG_S:
            return " ".join(words)
        return " ".join(words[: min(len(words) - 1, int(self.loud_s / WORD_S))])

    def clear(self) -> None:
        self._line = None


class TranscribingDecoder(EnergyDecoder):
    """Any recogniser of whole utterances: read again now and then for partial results, and at the end."""

    def __init__(self, rate_hz: float, transcribe: Transcribe) -> None:
        self._transcribe = transcribe
        super().__init__(rate_hz)

    def accept(self, pcm: bytes) -> None:
        self._pcm += pcm
        if not self.loud_s:
            del self._pcm[: -2 * int(TAIL_S * self._rate_hz)]

    def text(self) -> str:
        if self._unread_s:
            self._read()
        return self._reading

    def partial(self) -> str:
        # Once more in the pause: the words are then the last.
        due_s = TAIL_S if self.quiet_s >= TAIL_S else PASS_EVERY_S
        if self._unread_s >= due_s:
            self._read()
        return self._reading

    @property
    def _unread_s(self) -> float:
        """Speech, and a little after it, that no pass has read."""
        heard_s = len(self._pcm) / 2 / self._rate_hz
        return max(0.0, heard_s - max(0.0, self.quiet_s - TAIL_S) - self._read_s)

    def _read(self) -> None:
        self._read_s = len(self._pcm) / 2 / self._rate_hz
        self._reading = self._transcribe(bytes(self._pcm), int(self._rate_hz)).strip()

    def clear(self) -> None:
        self._pcm = bytearray()
        self._read_s = 0.0
        self._reading = ""
