"""A voice that hums: a tone as long as the text would take to say, for load tests and trials without models."""

import asyncio
import math
from array import array
from collections.abc import AsyncGenerator

from core.providers.settings import TtsSettings

NAME = "scripted"
SETTINGS = None
TONE_HZ = 440
LEVEL = 8000
CHARACTER_S = 0.06
PIECE_S = 0.2
FIRST_AUDIO_S = 0.05


class ScriptedSynthesizer:
    """Hums every text; remembers what it was given to say."""

    name = NAME
    ready = True

    def __init__(self, first_audio_s: float = FIRST_AUDIO_S) -> None:
        self._first_audio_s = first_audio_s
        self.said: list[str] = []

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        self.said.append(text)
        await asyncio.sleep(self._first_audio_s)
        left = round(len(text) * CHARACTER_S * sample_rate_hz)
        whole_periods = sample_rate_hz // math.gcd(sample_rate_hz, TONE_HZ)
        step = max(1, round(PIECE_S * sample_rate_hz / whole_periods)) * whole_periods
        tone = array(
            "h", (round(LEVEL * math.sin(2 * math.pi * TONE_HZ * n / sample_rate_hz)) for n in range(step))
        ).tobytes()
        while left > 0:
            yield tone[: 2 * left]
            left -= step

    async def close(self) -> None:
        """Holds nothing."""


def build(settings: TtsSettings, own: None) -> ScriptedSynthesizer:
    return ScriptedSynthesizer()
