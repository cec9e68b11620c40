"""Where each stage's provider is, and how long it may take."""

from typing import Any, ClassVar

from services.common.settings import Section, key


class ServiceSettings(Section):
    """One gRPC service as core reaches it."""

    section: ClassVar[str]
    provider: str
    host: str
    port: int
    timeout: float
    max_retries: int


def _timeout() -> Any:
    return key(30.0, unit="s", gt=0, le=600, help="Longest wait for one answer of the service")


def _retries() -> Any:
    return key(3, ge=0, le=10, help="Further attempts after a failure that may pass")


class AsrSettings(ServiceSettings):
    section: ClassVar[str] = "asr"
    provider: str = key("grpc", env="ASR_PROVIDER", help="Recogniser, by its registered name")
    host: str = key("localhost", env="ASR_SERVICE_HOST", help="Host of the recognition service")
    port: int = key(50051, env="ASR_SERVICE_PORT", ge=1, le=65535, help="Port of the recognition service")
    timeout: float = _timeout()
    max_retries: int = _retries()
    phrases: tuple[str, ...] = key(
        (), env="ASR_PHRASES", help="Words that callers use and a recogniser may miss, such as names; few of them"
    )


class LlmSettings(ServiceSettings):
    section: ClassVar[str] = "llm"
    provider: str = key("grpc", env="LLM_PROVIDER", help="Language model, by its registered name")
    host: str = key("localhost", env="LLM_SERVICE_HOST", help="Host of the language model service")
    port: int = key(50052, env="LLM_SERVICE_PORT", ge=1, le=65535, help="Port of the language model service")
    timeout: float = _timeout()
    max_retries: int = _retries()
    max_tokens: int = key(60, ge=1, le=2048, help="Longest answer of the model, in tokens")
    temperature: float = key(0.2, ge=0, le=2, help="Randomness of the model's answers")
    top_p: float = key(0.9, gt=0, le=1, help="Share of the probability the model may choose from")


class TtsSettings(ServiceSettings):
    section: ClassVar[str] = "tts"
    provider: str = key("grpc", env="TTS_PROVIDER", help="Voice provider, by its registered name")
    host: str = key("localhost", env="TTS_SERVICE_HOST", help="Host of the speech service")
    port: int = key(50053, env="TTS_SERVICE_PORT", ge=1, le=65535, help="Port of the speech service")
    timeout: float = _timeout()
    max_retries: int = _retries()
    voice: str = key("", env="TTS_VOICE", help="Voice to speak with; empty means the service's own default")
    speaking_rate: float = key(
        0.0, ge=0, le=3, help="Speed of speech, 1 is the voice's own; 0 means the service's default"
    )
