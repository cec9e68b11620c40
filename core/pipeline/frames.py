"""The frames of our own that travel the pipeline of a call, beside pipecat's."""

from dataclasses import dataclass, field

from pipecat.frames.frames import DataFrame, SystemFrame, TTSAudioRawFrame

from core.pipeline.effects import KeyPresses


@dataclass(eq=False, slots=True)
class Clause:
    """A stretch of text as it is spoken.

    Attributes:
        made_ms: its audio so far, whether it has come to the leg or not.
    """

    text: str
    made_ms: float = 0.0


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
    """Upstream: the caller has heard an utterance, or as much of it as they let pass.

    Parameters:
        spoken: The words that were played.
        remainder: The words that were not; empty unless it was interrupted.
        interrupted: Whether the caller cut it short.
    """

    utterance_id: int = 0
    spoken: str = ""
    remainder: str = ""
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
