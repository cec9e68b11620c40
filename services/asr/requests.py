"""What clients send, checked: every refusal says what was wrong with it."""

import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.asr.engine import Engine, RecognitionOptions, Samples
from services.asr.settings import AsrSettings
from voice_api import asr_pb2

log = logging.getLogger(__name__)

SAMPLE_RATES_HZ = (8000, 16_000)
_ALTERNATIVES_MAX = 5
_PHRASES_MAX = 200
_PHRASE_SIZE_MAX = 200
_CONTROL_SIZE_MAX = 1024
_SILENCE_MIN_MS = 100
_SILENCE_MAX_MS = 10_000


class InvalidRequest(ValueError):
    """The client's fault: answered with INVALID_ARGUMENT and this text."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How one stream wants to be heard."""

    sample_rate_hz: int
    recognition: RecognitionOptions
    interim_results: bool = True
    client_endpointing: bool = False
    endpoint_silence_s: float = 0.5


def default_options(settings: AsrSettings) -> StreamOptions:
    """Of a stream whose client asks for nothing."""
    return StreamOptions(
        sample_rate_hz=settings.sample_rate_hz,
        recognition=RecognitionOptions(language=settings.language, words=settings.show_words),
        endpoint_silence_s=settings.endpoint_silence_ms / 1000,
    )


def stream_options(config: asr_pb2.RecognitionConfig, defaults: StreamOptions, engine: Engine) -> StreamOptions:
    """The client's wishes over the defaults.

    Raises:
        InvalidRequest: one of them cannot be met.
    """
    if config.model_path and not _is_loaded(config.model_path, engine.model):
        # Clients of a deployment whose model has changed since are served all the same.
        log.warning("model_path ignored", extra={"model": str(engine.model)})
    recognition = RecognitionOptions(
        language=config.language or defaults.recognition.language,
        words=config.show_words or defaults.recognition.words,
        alternatives=_alternatives(config.max_alternatives) or defaults.recognition.alternatives,
        phrases=_phrases(tuple(config.phrase_list)) or defaults.recognition.phrases,
    )
    try:
        engine.check(recognition)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    return replace(
        defaults,
        sample_rate_hz=_sample_rate_hz(config.sample_rate) or defaults.sample_rate_hz,
        recognition=recognition,
        interim_results=config.interim_results if config.HasField("interim_results") else defaults.interim_results,
        client_endpointing=config.client_endpointing or defaults.client_endpointing,
        endpoint_silence_s=_silence_s(config.endpoint_silence_ms) or defaults.endpoint_silence_s,
    )


def check_model(config: asr_pb2.RecognitionConfig, engine: Engine) -> None:
    """For those who ask for a model rather than for recognition.

    Raises:
        InvalidRequest: it is not the one that is loaded.
    """
    if config.model_path and not _is_loaded(config.model_path, engine.model):
        raise InvalidRequest(f"model_path {config.model_path!r}: the model of this service is {engine.model}")


def samples_of(pcm: bytes, size_max: int) -> Samples:
    """The audio of a message.

    Raises:
        InvalidRequest: it is none.
    """
    if not pcm:
        raise InvalidRequest("audio_data is empty")
    if len(pcm) > size_max:
        raise InvalidRequest(f"audio_data of {len(pcm)} bytes is longer than {size_max}")
    if len(pcm) % 2:
        raise InvalidRequest(f"audio_data of {len(pcm)} bytes: 16-bit samples come in pairs of bytes")
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


@dataclass(frozen=True, slots=True)
class Control:
    """What a control message asks for."""

    eof: bool = False
    reset: bool = False


def control_of(text: str) -> Control:
    """{"eof": 1}, {"reset": 1} or both.

    Raises:
        InvalidRequest: it is neither.
    """
    if len(text) > _CONTROL_SIZE_MAX:
        raise InvalidRequest(f"control_message of {len(text)} characters is longer than {_CONTROL_SIZE_MAX}")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"control_message is no JSON: {error}") from error
    if not isinstance(fields, dict) or not fields or not set(fields) <= {"eof", "reset"}:
        raise InvalidRequest('control_message is neither {"eof": 1} nor {"reset": 1}')
    return Control(eof=bool(fields.get("eof")), reset=bool(fields.get("reset")))


def _is_loaded(asked: str, loaded: Path) -> bool:
    """Old clients name the model by its folder, wherever that lies on their side."""
    return Path(asked).name in {loaded.name, *(part for part in loaded.parts[-2:])}


def _sample_rate_hz(rate: float) -> int:
    """0 where the client does not say."""
    if math.isnan(rate) or rate not in (0, *SAMPLE_RATES_HZ):
        raise InvalidRequest(f"sample_rate {rate:g}: only {' and '.join(map(str, SAMPLE_RATES_HZ))} Hz are understood")
    return int(rate)


def _alternatives(count: int) -> int:
    if not 0 <= count <= _ALTERNATIVES_MAX:
        raise InvalidRequest(f"max_alternatives {count} is not between 0 and {_ALTERNATIVES_MAX}")
    return count


def _phrases(phrases: tuple[str, ...]) -> tuple[str, ...]:
    if len(phrases) > _PHRASES_MAX:
        raise InvalidRequest(f"phrase_list of {len(phrases)} is longer than {_PHRASES_MAX}")
    for phrase in phrases:
        if not phrase.strip() or len(phrase) > _PHRASE_SIZE_MAX:
            raise InvalidRequest(f"phrase_list: {phrase[:20]!r} is empty or longer than {_PHRASE_SIZE_MAX} characters")
    return tuple(phrase.strip() for phrase in phrases)


def _silence_s(milliseconds: int) -> float:
    if milliseconds and not _SILENCE_MIN_MS <= milliseconds <= _SILENCE_MAX_MS:
        raise InvalidRequest(
            f"endpoint_silence_ms {milliseconds} is not between {_SILENCE_MIN_MS} and {_SILENCE_MAX_MS}"
        )
    return milliseconds / 1000
