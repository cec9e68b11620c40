"""Speech for tests: rendered by Piper once, kept under build/."""

from functools import lru_cache
from pathlib import Path

from tools.caller.script import Say
from tools.caller.speech import PIPER_VOICE, SpeechCache, piper_renderer

CACHE = Path(__file__).parents[2] / "build" / "speech"


@lru_cache
def _cache() -> SpeechCache:
    return SpeechCache(CACHE, piper_renderer(), PIPER_VOICE)


def speech(text: str) -> bytes:
    """The text as spoken by a person: 8 kHz 16-bit mono PCM."""
    return _cache().pcm(Say(do="say", text=text))
