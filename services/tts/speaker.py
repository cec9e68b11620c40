"""Speech, clause by clause: cached or rendered, trimmed, levelled, at the rate asked for, with the pause after it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.tts.clauses import Break
from services.tts.engine import Engine
from services.tts.loudness import fit
from services.tts.pcm import duration_s, silence, to_pcm
from services.tts.phrase_cache import Phrase, PhraseCache
from services.tts.requests import Speech, SpokenClause
from services.tts.turnstile import Turnstile

# As Piper pauses inside one rendering: 200 to 300 ms at a comma, 300 at a colon. Where the text is cut without a mark
# there is barely one, or the cut would be heard.
PAUSE_MS = {
    Break.NONE: 0,
    Break.WORD: 20,
    Break.PHRASE: 40,
    Break.CONJUNCTION: 80,
    Break.COMMA: 200,
    Break.CLAUSE: 280,
    Break.SENTENCE: 400,
}


@dataclass(frozen=True, slots=True)
class SpokenAudio:
    """A clause's sound.

    Attributes:
        pcm: with the pause that follows.
        start_s, end_s: of the speech itself, from the beginning of the request's audio.
    """

    text: str
    pcm: bytes
    start_s: float
    end_s: float
    from_cache: bool


class Speaker:
    """Speaks for all calls. For one event loop."""

    def __init__(self, engine: Engine, turnstile: Turnstile, cache: PhraseCache) -> None:
        self._engine = engine
        self._turnstile = turnstile
        self._cache = cache

    async def speak(self, speech: Speech) -> AsyncGenerator[SpokenAudio, None]:
        """Each clause as soon as it is made; the next one is begun when it is asked for.

        Raises:
            ModelMissing, ModelBroken: the voice could not be loaded.
            EngineFailedError: the engine gave up.
        """
        began_s = asyncio.get_running_loop().time()
        start_s = 0.0
        for clause in speech.clauses:
            # When what was made so far will have been played.
            pcm, from_cache = await self._clause(clause, speech, deadline_s=began_s + start_s)
            pause = silence(round(PAUSE_MS[clause.end] / speech.speaking_rate), speech.sample_rate_hz)
            end_s = start_s + duration_s(len(pcm), speech.sample_rate_hz)
            yield SpokenAudio(clause.text, pcm + pause, start_s, end_s, from_cache)
            start_s = end_s + duration_s(len(pause), speech.sample_rate_hz)

    async def _clause(self, clause: SpokenClause, speech: Speech, deadline_s: float) -> tuple[bytes, bool]:
        voice, rate_hz = speech.voice, speech.sample_rate_hz

        def render() -> bytes:
            waveform = self._engine.render(clause.spoken, voice.name, speech.speaking_rate)
            return to_pcm(fit(waveform, voice.sample_rate_hz), voice.sample_rate_hz, rate_hz)

        phrase = Phrase(clause.spoken, voice.name, rate_hz, speech.speaking_rate)
        return await self._cache.get(phrase, lambda: self._turnstile.run(deadline_s, render))
