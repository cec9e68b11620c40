"""The settings of the speech synthesis."""

from typing import Literal

from services.common.settings import Section, key
from services.tts.engine import ENGINES


class SynthesisSettings(Section):
    """What the service speaks with, and how much it takes on."""

    section = "synthesis"

    engine: str = key("piper", env="TTS_ENGINE", help="One of: " + ", ".join(ENGINES) + ".", pattern="|".join(ENGINES))
    voice: str = key(
        "en_US-joe-medium",
        env="TTS_VOICE",
        help="Voice of requests that name none: the name of an installed voice, or the path of its .onnx file.",
        min_length=1,
    )
    sample_rate: Literal[8000, 16000, 22050] = key(
        22050, env="TTS_SAMPLE_RATE", unit="Hz", help="Of requests that name none."
    )
    speaking_rate: float = key(
        1.0, env="TTS_SPEAKING_RATE", help="1 is the voice's own speed, 2 twice as fast.", ge=0.5, le=2.0
    )
    threads: int = key(2, env="TTS_THREADS", help="Cores that one clause is rendered on.", ge=1, le=64)
    renderers: int = key(
        1,
        env="TTS_RENDERERS",
        help="Clauses rendered at the same time. Each needs `threads` cores and up to 120 MB.",
        ge=1,
        le=64,
    )
    rest_after_s: float = key(
        5.0,
        env="TTS_REST_AFTER_S",
        unit="s",
        help="Memory that only rendering needs is given back after so long without any.",
        gt=0,
    )
    loaded_voices_max: int = key(
        2, env="TTS_LOADED_VOICES_MAX", help="Voices kept in memory, about 90 MB each.", ge=1, le=64
    )
    cache_size_max_bytes: int = key(
        8 * 1024 * 1024,
        env="TTS_CACHE_SIZE_MAX_BYTES",
        unit="bytes",
        help="Rendered phrases kept for the next time they are said; 0 keeps none.",
        ge=0,
    )
    text_max_chars: int = key(
        5000, env="TTS_TEXT_MAX_CHARS", unit="characters", help="Longer texts are refused.", ge=1, le=100_000
    )
    requests_max: int = key(
        64, env="TTS_REQUESTS_MAX", help="Requests answered at a time; more are refused as exhausted.", ge=1
    )
