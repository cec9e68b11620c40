"""Waits for the leg to have played what it was given."""

import asyncio

from core.leg import CallLeg

# One packet: the leg plays by its own clock, and tells how much is left.
PACKET_S = 0.02


async def drained(leg: CallLeg) -> None:
    """Returns when nothing is queued any more. Bound it with a timeout where the leg may be on hold."""
    while (queued_ms := leg.queued_ms) > 0:  # noqa: ASYNC110  the leg has no event to wait for
        await asyncio.sleep(max(queued_ms / 1000, PACKET_S))
