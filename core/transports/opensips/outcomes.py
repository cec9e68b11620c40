"""Final replies to requests of ours, as the events that bring them."""

import asyncio

from core.transports.opensips.events import UaSessionEvent


class Outcomes:
    """At most one request of each method waits for its outcome."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[UaSessionEvent]] = {}

    def expect(self, method: str) -> asyncio.Future[UaSessionEvent]:
        """To be called before the request is sent: its outcome may overtake the command's own reply."""
        outcome: asyncio.Future[UaSessionEvent] = asyncio.get_running_loop().create_future()
        self._expected[method] = outcome
        return outcome

    def resolve(self, event: UaSessionEvent) -> bool:
        """Whether somebody was waiting for it."""
        outcome = self._expected.pop(event.method, None)
        if outcome is None or outcome.done():
            return False
        outcome.set_result(event)
        return True

    def forget(self) -> None:
        """The caller has hung up: nothing will be replied to any more."""
        for outcome in self._expected.values():
            outcome.cancel()
        self._expected.clear()
