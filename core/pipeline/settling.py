"""When words are stable of a recogniser that does not say so: the caller has paused, and they stay the same."""

from collections.abc import Callable

from core.providers.base import Transcript

# Kaldi reads in steps of 0.24 s: a step without a new word is one in which none was heard.
SETTLE_S = 0.3


class Settling:
    """Follows one call's transcripts and pauses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._paused = False
        self._text = ""
        self._same_since_s = 0.0
        self._told = False

    def note_speech(self) -> None:
        """The caller speaks."""
        self._paused = False
        self._told = False

    def note_pause(self) -> None:
        """The caller is silent."""
        self._paused = True
        self._same_since_s = self._clock()

    def note(self, transcript: Transcript) -> tuple[bool, bool]:
        """Whether its words are new, and whether they are stable; each is said once."""
        now_s = self._clock()
        is_new = transcript.text != self._text
        if is_new:
            self._text, self._same_since_s, self._told = transcript.text, now_s, False
        settled = self._paused and transcript.is_current and now_s - self._same_since_s >= SETTLE_S
        is_stable = bool(transcript.text) and not self._told and (transcript.is_stable or settled)
        self._told = self._told or is_stable
        return is_new, is_stable

    def forget(self) -> None:
        """The utterance is over."""
        self._text = ""
        self._told = False
