"""What a request may ask for: the schema's defaults, and the reason why one is refused."""

import math
from collections.abc import Iterable

from services.llm.conversation import ROLES
from services.llm.engine import Message, Sampling
from services.llm.settings import LlmSettings
from voice_api import llm_pb2

TEMPERATURE_DEFAULT = 0.2
MAX_TOKENS_DEFAULT = 80
TOP_P_DEFAULT = 0.9

MESSAGES_MAX = 256
STOPS_MAX = 16
STOP_MAX_CHARS = 64
SESSION_ID_MAX_CHARS = 256
# No text of so many characters for each token of the context would fit; it is refused before anything reads it.
_CHARS_PER_TOKEN_MAX = 16


class BadRequest(ValueError):
    """The request cannot be meant; the text says why."""


def sampling(request: llm_pb2.TextProcessingRequest, settings: LlmSettings) -> Sampling:
    """Raises BadRequest."""
    return Sampling(
        temperature=_number(
            "temperature", request.temperature if request.HasField("temperature") else TEMPERATURE_DEFAULT, 0, 2
        ),
        top_p=_number("top_p", request.top_p if request.HasField("top_p") else TOP_P_DEFAULT, 0, 1, above=True),
        repeat_penalty=_number(
            "repeat_penalty",
            request.repeat_penalty if request.HasField("repeat_penalty") else settings.repeat_penalty,
            0,
            2,
            above=True,
        ),
        seed=settings.seed,
    )


def max_tokens(request: llm_pb2.TextProcessingRequest, limit: int) -> int:
    """Raises BadRequest."""
    # Without presence in the schema, 0 is what a client sends that names none.
    wanted = request.max_tokens or min(MAX_TOKENS_DEFAULT, limit)
    if not 1 <= wanted <= limit:
        raise BadRequest(f"max_tokens must be 1 to {limit}, not {wanted}")
    return wanted


def stop_strings(request: llm_pb2.TextProcessingRequest) -> tuple[str, ...]:
    """Raises BadRequest."""
    stops = tuple(request.stop)
    if len(stops) > STOPS_MAX:
        raise BadRequest(f"at most {STOPS_MAX} stop strings, not {len(stops)}")
    if not all(1 <= len(stop) <= STOP_MAX_CHARS for stop in stops):
        raise BadRequest(f"a stop string has 1 to {STOP_MAX_CHARS} characters")
    return stops


def session_id(given: str, *, required: bool = False) -> str:
    """Raises BadRequest."""
    if len(given) > SESSION_ID_MAX_CHARS:
        raise BadRequest(f"session_id has {len(given)} characters of {SESSION_ID_MAX_CHARS}")
    if required and not given:
        raise BadRequest("session_id is empty")
    return given


def messages(given: Iterable[llm_pb2.Message], *others: str, context_tokens: int) -> list[Message]:
    """The messages; `others` are the request's further texts, which count as well.

    Raises:
        BadRequest
    """
    converted = [Message(message.role, message.content) for message in given]
    if len(converted) > MESSAGES_MAX:
        raise BadRequest(f"at most {MESSAGES_MAX} messages, not {len(converted)}")
    for index, message in enumerate(converted):
        if message.role not in ROLES:
            known = ", ".join(sorted(ROLES))
            raise BadRequest(f"messages[{index}].role must be one of {known}, not {message.role!r:.40}")
    size = sum(len(message.content) for message in converted) + sum(map(len, others))
    if size > context_tokens * _CHARS_PER_TOKEN_MAX:
        raise BadRequest(f"the prompt has {size} characters, far more than {context_tokens} tokens hold")
    return converted


def _number(name: str, value: float, low: float, high: float, *, above: bool = False) -> float:
    if not math.isfinite(value) or not low <= value <= high or (above and value == low):
        raise BadRequest(f"{name} must be {'above' if above else 'at least'} {low} and at most {high}, not {value:g}")
    return value
