"""The frames of our own that travel the pipeline of a call, beside pipecat's."""

from dataclasses import dataclass, field

from pipecat.frames.frames import DataFrame, SystemFrame, TTSAudioRawFrame

from core.dialogue.conversation import words_heard
from core.pipeline.effects import KeyPresses

# What a voice takes for a character, about: for audio of which it is not known how long it would have been.
CHARACTER_MS = 65.0


@dataclass(eq=False, slots=True)
class Clause:
    """A stretch of text as it is spoken.

    Attributes:
        made_ms: its audio so far, whether it has come to the leg or not.
        whole: that is all of it.
        heard: its words that were played; told when its utterance is over.
    """

    text: str
    made_ms: float = 0.0
    whole: bool = False
    heard: str = ""

    def note_played(self, played_ms: float) -> None:
        """So much of its audio was played, and no more will be."""
        expected_ms = 0.0 if self.whole else len(self.text) * CHARACTER_MS
        self.heard = words_heard(self.text, played_ms / max(self.made_ms, expected_ms, 1.0))

    @property
    def unheard(self) -> str:
        """Its words that were not played."""
        return self.text.removeprefix(self.heard).strip()


@dataclass
class SpeechFrame(TTSAudioRawFrame):
    """A piece of an utterance of the agent's.

    Parameters:
        utterance_id: The utterance it belongs to.
        clause: What it speaks; None for what is said while the caller waits for the next piece.
    """

    utterance_id: int = 0
    clause: Clause | None = None


@dataclass
class SpeechEndFrame(DataFrame):
    """Nothing more of an utterance follows."""

    utterance_id: int = 0


@dataclass
class SendDigitsFrame(DataFrame):
    """Keys for the far end, behind the speech that went before."""

    keys: KeyPresses = field(default_factory=lambda: KeyPresses(""))


@dataclass
class SpeechStartedFrame(SystemFrame):
    """Upstream: the first piece of an utterance was handed to the leg.

    Parameters:
        started_at_s: Monotonic time at which it goes out.
    """

    utterance_id: int = 0
    started_at_s: float = 0.0


@dataclass
class SpeechOverFrame(SystemFrame):
    """Upstream: the caller has heard an utterance, or as much of it as they let pass: its clauses know how much.

    Parameters:
        interrupted: Whether the caller cut it short.
    """

    utterance_id: int = 0
    interrupted: bool = False


@dataclass
class DigitFrame(SystemFrame):
    """Downstream: the caller pressed a key."""

    digit: str = ""


@dataclass
class HoldFrame(SystemFrame):
    """Downstream: the caller put us on hold, or took us back."""

    held: bool = False


@dataclass
class RecognitionFrame(SystemFrame):
    """Downstream: whether the recogniser hears the call.

    Parameters:
        working: False from the moment it fails until it is heard from again.
    """

    working: bool = False


@dataclass
class TurnEndedFrame(SystemFrame):
    """Downstream, once a turn: its times, for the latency of the reply.

    Parameters:
        silent_since_s: Monotonic time of the caller's last speech.
        decided_at_s: Monotonic time at which the turn was taken to be over.
    """

    silent_since_s: float = 0.0
    decided_at_s: float = field(default=0.0)
