"""Where each stage's provider is, and how long it may take."""

from typing import Any, ClassVar

from services.common.settings import Section, key


class ServiceSettings(Section):
    """One gRPC service as core reaches it."""

    section: ClassVar[str]
    provider: tuple[str, ...]
    budget_ms: int
    breaker_failures: int
    breaker_retry_s: float
    host: str
    port: int
    timeout: float
    max_retries: int


def _providers(stage: str, what: str) -> Any:
    return key(
        ("grpc",),
        env=f"{stage.upper()}_PROVIDER",
        min_length=1,
        help=f"{what}, by its registered name; further ones, in order, take over where it fails",
    )


def _budget(default_ms: int, what: str) -> Any:
    return key(default_ms, unit="ms", ge=50, le=60000, help=f"{what}, after which the next provider takes over")


def _breaker_failures() -> Any:
    return key(2, ge=1, le=100, help="Failures in a row after which a provider with another behind it is left out")


def _breaker_retry() -> Any:
    return key(15.0, unit="s", gt=0, le=3600, help="How long it is left out before it is tried again")


def _timeout() -> Any:
    return key(30.0, unit="s", gt=0, le=600, help="Longest wait for one answer of the service")


def _retries(what: str = "Further attempts after a failure that may pass") -> Any:
    return key(3, ge=0, le=10, help=what)


class AsrSettings(ServiceSettings):
    section: ClassVar[str] = "asr"
    provider: tuple[str, ...] = _providers("asr", "Recogniser")
    budget_ms: int = _budget(1500, "Longest wait for the final words of a turn")
    breaker_failures: int = _breaker_failures()
    breaker_retry_s: float = _breaker_retry()
    host: str = key("localhost", env="ASR_SERVICE_HOST", help="Host of the recognition service")
    port: int = key(50051, env="ASR_SERVICE_PORT", ge=1, le=65535, help="Port of the recognition service")
    timeout: float = _timeout()
    max_retries: int = _retries("No effect, accepted from older files: what a caller said is not said again")
    language: str = key(
        "", max_length=35, help="Language callers speak (BCP 47), for recognisers that can choose; empty: their own"
    )
    phrases: tuple[str, ...] = key(
        (), env="ASR_PHRASES", help="Words that callers use and a recogniser may miss, such as names; few of them"
    )


class LlmSettings(ServiceSettings):
    section: ClassVar[str] = "llm"
    provider: tuple[str, ...] = _providers("llm", "Language model")
    budget_ms: int = _budget(2000, "Longest wait for the first or the next words of an answer")
    breaker_failures: int = _breaker_failures()
    breaker_retry_s: float = _breaker_retry()
    host: str = key("localhost", env="LLM_SERVICE_HOST", help="Host of the language model service")
    port: int = key(50052, env="LLM_SERVICE_PORT", ge=1, le=65535, help="Port of the language model service")
    timeout: float = _timeout()
    max_retries: int = _retries()
    max_tokens: int = key(60, ge=1, le=2048, help="Longest answer of the model, in tokens")
    temperature: float = key(0.2, ge=0, le=2, help="Randomness of the model's answers")
    top_p: float = key(0.9, gt=0, le=1, help="Share of the probability the model may choose from")


class TtsSettings(ServiceSettings):
    section: ClassVar[str] = "tts"
    provider: tuple[str, ...] = _providers("tts", "Voice")
    budget_ms: int = _budget(1000, "Longest wait for the first or the next audio of a clause")
    breaker_failures: int = _breaker_failures()
    breaker_retry_s: float = _breaker_retry()
    host: str = key("localhost", env="TTS_SERVICE_HOST", help="Host of the speech service")
    port: int = key(50053, env="TTS_SERVICE_PORT", ge=1, le=65535, help="Port of the speech service")
    timeout: float = _timeout()
    max_retries: int = _retries()
    voice: str = key("", env="TTS_VOICE", help="Voice to speak with; empty means the service's own default")
    speaking_rate: float = key(
        0.0, ge=0, le=3, help="Speed of speech, 1 is the voice's own; 0 means the service's default"
    )
