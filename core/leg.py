"""The seam every call crosses: a transport gives a `CallLeg`, everything behind it is the same code."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class EndReason(Enum):
    """Why a call ended, as its summary line and the metrics name it."""

    CALLER_HUNG_UP = "caller_hung_up"
    CALLER_CANCELLED = "caller_cancelled"
    AGENT_HUNG_UP = "agent_hung_up"
    TRANSFERRED = "transferred"
    IDLE = "idle"
    MEDIA_TIMEOUT = "media_timeout"
    SESSION_TIMEOUT = "session_timeout"
    OPERATOR = "operator"
    DRAINED = "drained"
    SIGNALLING_LOST = "signalling_lost"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom.

    Attributes:
        call_id: our own name for the call: unique, safe in logs and URLs.
        transport: the registered name of the transport that carries it.
        caller: user part of From, "" where withheld.
        called: user part of To.
        headers: what the transport received, names in lower case.
        parameters: what the routing script passed along.
    """

    call_id: str
    transport: str
    caller: str
    called: str
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """A stretch of the caller's audio, in order, gaps filled: 16-bit mono PCM at `CallLeg.sample_rate_hz`.

    Attributes:
        received_at_s: monotonic time at which its last packet reached this machine.
        concealed: nothing was received; the audio stands in for it, so that time stays true.
    """

    pcm: bytes
    received_at_s: float
    concealed: bool = False


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """The caller pressed a key: one of 0-9 * # A-D (RFC 4733 3.2), reported once."""

    digit: str


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """The caller put us on hold, or took us back."""

    held: bool


@dataclass(frozen=True, slots=True)
class LegEnded:
    """Nothing follows. The leg has already released its resources."""

    reason: EndReason
    detail: str = ""


LegEvent = AudioReceived | DigitReceived | HoldChanged | LegEnded


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """Counters of one call's media, as RTCP and the summary line report them (RFC 3550 6.4).

    `mos` is the E-model's estimate of what the caller's audio was worth (ITU-T G.107), 1 to 4.5;
    0 where it was not estimated.
    """

    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_duplicated: int = 0
    packets_discarded: int = 0
    jitter_ms: float = 0.0
    mos: float = 0.0


class CallLeg(Protocol):
    """One call, seen from the side of the conversation.

    Used from one event loop. Methods raise `CallEnded` once the leg is gone, except where said.
    """

    @property
    def info(self) -> CallInfo: ...

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio in both directions: 8000 for G.711, 16000 for G.722. Fixed once answered."""

    async def answer(self) -> None:
        """Accepts the call; returns when the acceptance is on its way.

        Raises:
            CallEnded: the caller gave up first.
            SignallingError: OpenSIPS did not take the answer.
        """

    async def reject(self, refusal: Exception) -> None:
        """Ends a call that was not answered: `CallRefused` by its own status, anything else as 500. Never raises."""

    async def receive(self) -> LegEvent:
        """The next event, in order. `LegEnded` is the last, and comes again if asked again."""

    async def play(self, pcm: bytes) -> None:
        """Queues audio for the caller; waits while more than a little is queued, so that the sender keeps pace."""

    def clear_playback(self) -> None:
        """Drops what is queued: silence is on the wire within one packet. Never raises."""

    @property
    def queued_ms(self) -> float:
        """Audio accepted by `play` that has not yet gone out, nor been dropped."""

    @property
    def played_ms(self) -> float:
        """Audio accepted by `play` that has gone out since the call began."""

    async def send_digits(self, digits: str) -> None:
        """Sends key presses (RFC 4733), after what is queued.

        Raises:
            ValueError: a character is no key.
        """

    async def transfer(self, target: str) -> None:
        """Sends the caller elsewhere; our part of the call ends with `LegEnded(TRANSFERRED)`.

        Raises:
            TransferFailed: the call goes on.
        """

    async def hang_up(self, reason: EndReason) -> None:
        """Ends the call and makes `receive` return `LegEnded(reason)`. Harmless when it has ended. Never raises."""

    def statistics(self) -> LegStatistics: ...


# Runs one call from offer to end. A transport calls it in a task of its own; it must answer or reject the leg.
CallHandler = Callable[[CallLeg], Awaitable[None]]
