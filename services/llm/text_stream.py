"""Pieces of tokens joined to text: whole characters only, and nothing from a stop string on."""

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of one answer.

    Attributes:
        stopped: a stop string was found; nothing follows.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, piece: bytes) -> str:
        """What may be said now: what could be the beginning of a stop string is held back."""
        return self._take(self._decoder.decode(piece))

    def finish(self) -> str:
        """What was held back, once nothing follows that could complete a stop string."""
        text = self._take(self._decoder.decode(b"", final=True))
        if self.stopped:
            return text
        held, self._held = self._held, ""
        return text + held

    def _take(self, text: str) -> str:
        if self.stopped:
            return ""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        cut = len(text) - self._possible_beginning(text)
        self._held = text[cut:]
        return text[:cut]

    def _possible_beginning(self, text: str) -> int:
        """The length of the longest end of `text` with which a stop string begins."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 0
