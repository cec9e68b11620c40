"""A transport that places calls as a test tells it to."""

import asyncio
from collections.abc import Mapping


class Switchboard:
    """Notes what it is asked to place.

    Attributes:
        failure: raised in place of placing the call.
        answering: cleared, it lets a call wait.
    """

    name = "switchboard"

    def __init__(self) -> None:
        self.placed: list[tuple[str, str, dict[str, str]]] = []
        self.failure: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    async def place(self, called: str, caller: str, parameters: Mapping[str, str]) -> str:
        self.placed.append((called, caller, dict(parameters)))
        call_id = f"placed-{len(self.placed)}"
        await self.answering.wait()
        if self.failure is not None:
            raise self.failure
        return call_id
