"""A call with nobody on it, so that the first real one finds everything loaded."""

import asyncio
from itertools import count

from core.errors import TransferFailed
from core.leg import AudioReceived, CallInfo, EndReason, LegEnded, LegEvent, LegStatistics

SAMPLE_RATE_HZ = 8000
PACKETS = 10
PACKET_BYTES = 320


class EmptyLeg:
    """A `CallLeg` on which a few packets of silence arrive; then it ends. What is played on it is lost."""

    info = CallInfo("rehearsal", "rehearsal", "", "")
    sample_rate_hz = SAMPLE_RATE_HZ
    queued_ms = 0.0
    played_ms = 0.0

    def __init__(self) -> None:
        self._received = count()

    async def answer(self) -> None:
        """Is always answered."""

    async def reject(self, refusal: Exception) -> None:
        """Is never rejected."""

    async def receive(self) -> LegEvent:
        await asyncio.sleep(0)
        if next(self._received) < PACKETS:
            return AudioReceived(bytes(PACKET_BYTES), 0.0)
        return LegEnded(EndReason.CALLER_HUNG_UP)

    async def play(self, pcm: bytes) -> None:
        """Nobody hears it."""

    def clear_playback(self) -> None:
        """Nothing is queued."""

    async def send_digits(self, digits: str) -> None:
        """Nobody notices."""

    async def transfer(self, target: str) -> None:
        raise TransferFailed(f"there is nobody to be sent to {target}")

    async def hang_up(self, reason: EndReason) -> None:
        """Ends by itself."""

    def statistics(self) -> LegStatistics:
        return LegStatistics()
