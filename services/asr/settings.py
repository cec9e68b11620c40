"""What the operator of the speech-to-text service may choose."""

from typing import Literal

from services.common.settings import Section, key


class AsrSettings(Section):
    section = "asr_engine"

    engine: Literal["faster_whisper", "vosk"] = key("faster_whisper", env="ASR_ENGINE", help="What recognises speech.")
    model: str = key(
        "",
        env="ASR_MODEL",
        help="Name of a model as `oavc models` lists it, or its folder. Unset: the engine's own default.",
    )
    language: str = key("", env="ASR_LANGUAGE", help="BCP 47. Unset: the model's own, or as it hears.", max_length=35)
    cpu_threads: int = key(
        0, env="ASR_CPU_THREADS", help="Threads of one pass of Whisper. 0: all cores, at most two.", ge=0, le=64
    )
    window: Literal["adaptive", "full"] = key(
        "adaptive",
        env="ASR_WINDOW",
        help="Whisper reads as much as was said (adaptive, a third of the cost), or always thirty seconds (full).",
    )
    doubt_below: float = key(
        -0.45,
        env="ASR_DOUBT_BELOW",
        help="An adaptive reading less likely than this (mean natural log of its tokens) is made again in full.",
        ge=-10,
        le=0,
    )
    show_words: bool = key(False, env=("ASR_SHOW_WORDS", "VOSK_SHOW_WORDS"), help="Time every word, asked or not.")
    sample_rate_hz: Literal[8000, 16000] = key(
        16000, env="ASR_SAMPLE_RATE", unit="Hz", help="Of the audio of clients that do not say."
    )
    vad_threshold: float = key(
        0.4, env="ASR_VAD_THRESHOLD", help="Sound more likely than this to be speech is speech.", gt=0, lt=1
    )
    pause_ms: int = key(
        120,
        env="ASR_PAUSE_MS",
        unit="ms",
        help="A pause so long starts the reading that will be the final one if nothing more is said.",
        ge=32,
        le=2000,
    )
    margin_ms: int = key(
        256, env="ASR_MARGIN_MS", unit="ms", help="Audio around speech that is read with it.", ge=32, le=1000
    )
    endpoint_silence_ms: int = key(
        500,
        env="ASR_ENDPOINT_SILENCE_MS",
        unit="ms",
        help="A pause so long ends an utterance, for clients that leave it to the service.",
        ge=100,
        le=10_000,
    )
    interim_share: float = key(
        0.35,
        env="ASR_INTERIM_SHARE",
        help="Readings while the caller speaks take no more than this share of a stream's time.",
        gt=0,
        le=1,
    )
    streams_max: int = key(
        32,
        env="ASR_STREAMS_MAX",
        help="Streams and recordings beyond this are refused (RESOURCE_EXHAUSTED).",
        ge=1,
        le=1000,
    )
    audio_message_max_bytes: int = key(
        65_536, env="ASR_AUDIO_MESSAGE_MAX_BYTES", unit="bytes", help="Of one message of a stream.", ge=640
    )
    recognize_max_s: float = key(
        300.0, env="ASR_RECOGNIZE_MAX_S", unit="s", help="Audio that one Recognize request may carry.", gt=0, le=3600
    )
