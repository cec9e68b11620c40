"""A call leaves its stream for other instructions, and may come back with another stream."""

import asyncio
import secrets
from collections.abc import Callable

from core.errors import SignallingError
from core.transports.twilio.call_control import CallControl


class Redirection:
    """One call's, one at a time: hold `turn`.

    Args:
        on_overdue: called when the stream that was to follow has not come in time.

    Attributes:
        under_way: the stream is about to end, or has ended, without the call having ended.
    """

    def __init__(self, control: CallControl | None, call_sid: str, on_overdue: Callable[[], None]) -> None:
        self._control = control
        self._call_sid = call_sid
        self._on_overdue = on_overdue
        self._name = ""
        self._back = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.turn = asyncio.Lock()
        self.under_way = False

    def begin(self, timeout_s: float) -> str:
        """The name that the stream which follows must give, and in time.

        Raises:
            SignallingError: there are no credentials for the REST API.
        """
        if self._control is None:
            raise SignallingError("twilio.account_sid is not set: it takes the REST API to change a call")
        self.end()
        self._back.clear()
        self._name = secrets.token_hex(8)
        # Whoever asked for it may be cancelled; the stream is waited for all the same.
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._overdue)
        return self._name

    async def run(self, instructions: str) -> None:
        """Has Twilio follow other instructions. Where that fails, whoever asked says whether it is at an `end`.

        Raises:
            SignallingError: it does not, or may not.
        """
        assert self._control is not None
        # Twilio may close the stream before it answers the request.
        self.under_way = True
        await self._control.redirect(self._call_sid, instructions)

    async def back(self) -> None:
        """Returns once the stream that follows is there, or none will be."""
        await self._back.wait()

    def expects(self, name: str) -> bool:
        return bool(self._name) and secrets.compare_digest(name.encode(), self._name.encode())

    def end(self) -> None:
        """It has failed, or the stream that follows is there, or the call has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._name = ""
        self.under_way = False
        self._back.set()

    def _overdue(self) -> None:
        self.end()
        self._on_overdue()
