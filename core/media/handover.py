"""From the wheel's thread to the calls' event loops: one wake-up per loop and slot for all calls."""

import contextlib
from asyncio import AbstractEventLoop
from typing import Protocol


class Recipient(Protocol):
    """A call whose reader or writer may be waiting on its loop."""

    loop: AbstractEventLoop

    @property
    def wants_waking(self) -> bool:
        """Whether there is news, and somebody who waits for it. Asked on the wheel's thread."""

    def wake(self) -> None:
        """There is news. Called on `loop`."""


class Handover:
    """Collects who has news while a slot is served; belongs to the wheel's thread."""

    def __init__(self) -> None:
        self._pending: dict[AbstractEventLoop, list[Recipient]] = {}

    def tell(self, recipient: Recipient) -> None:
        self._pending.setdefault(recipient.loop, []).append(recipient)

    def flush(self) -> None:
        """Sends what was collected on its way."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        for loop, recipients in pending.items():
            # A loop that was closed meanwhile has no readers left either.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake_all, recipients)


def _wake_all(recipients: list[Recipient]) -> None:
    for recipient in recipients:
        recipient.wake()
