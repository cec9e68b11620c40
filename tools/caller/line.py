"""What a script needs of the way its call is placed: one small seam for each wire that the caller speaks."""

from typing import Literal, Protocol

from tools.caller.ear import Ear
from tools.caller.script import CallScript
from tools.caller.trace import Trace


class LineError(Exception):
    """What the script wanted did not work, as the report tells it; the call goes on."""


class CallNotUpError(LineError):
    """The call was refused, or nobody answered.

    Attributes:
        status: the final reply's, in SIP's numbers; None where none came.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PlacedCall(Protocol):
    """One call from the phone's side, until `close`."""

    @property
    def trace(self) -> Trace: ...

    @property
    def ear(self) -> Ear: ...

    @property
    def busy(self) -> bool:
        """Whether something that is to be said or pressed has not gone out yet."""

    @property
    def hung_up(self) -> bool:
        """Whether the agent ended the call."""

    async def answered(self, within_s: float) -> int:
        """Waits for the answer, and notes when it came; returns its status.

        Raises:
            CallNotUpError: the call never came up.
            LineError: it is up, but the answer is not one that a phone can use.
        """

    def say(self, pcm: bytes, utterance: int) -> None:
        """Queues 16-bit PCM at 8 kHz behind what is still being said."""

    async def press(self, digits: str, by: Literal["rfc4733", "info"], /) -> None:
        """Presses keys. Telephone events go out one after the other, while the call is `busy`.

        Raises:
            LineError: the agent takes no such key presses.
        """

    async def hold(self, direction: Literal["sendonly", "inactive"], /) -> None:
        """Puts the agent on hold.

        Raises:
            LineError: the agent did not agree.
        """

    async def resume(self) -> None:
        """Takes the call back. Raises: LineError, as `hold` does."""

    def fall_silent(self) -> None:
        """Nothing of the caller's leaves any more."""

    async def hang_up(self) -> None:
        """Ends the call.

        Raises:
            LineError: the agent did not take it as it should.
        """

    async def close(self) -> None:
        """Gives back what the phone held; whoever has to be told that the call has ended is."""


class Line(Protocol):
    """A way to place calls.

    Attributes:
        transport: as the connector itself names the way that they come in.
    """

    transport: str

    async def dial(self, script: CallScript, caller: str, called: str, stream: int) -> PlacedCall:
        """Picks up a phone; `answered` waits for the call. Calls that share a script differ by their stream number.

        Raises:
            OSError: the phone finds no port.
        """
