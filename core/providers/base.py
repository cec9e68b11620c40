"""What the conversation asks of a recogniser, a language model and a voice.

Every method raises only the `ProviderError` family of core.errors, `ValueError` for a request that no
provider could serve, and `asyncio.CancelledError`; cancelling stops the work on the provider's side too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words recognised in one utterance so far.

    Attributes:
        is_final: the answer to `RecognitionStream.finalize`; the next transcript belongs to the next utterance.
        is_stable: the caller paused after these words; unless more is said, the final will read the same.
        is_current: the recogniser has heard all audio sent so far: words that stay the same over a pause are stable.
        utterance_id: of the `finalize` that a final answers.
        processing_ms: time the engine's pass took.
        rejected_reason: why a final is empty although something was heard, such as "silence" or "phantom".
    """

    text: str
    is_final: bool = False
    is_stable: bool = False
    is_current: bool = False
    utterance_id: int = 0
    processing_ms: float = 0.0
    rejected_reason: str = ""


class RecognitionStream(Protocol):
    """One call's audio on its way to a recogniser."""

    async def send(self, pcm: bytes) -> None:
        """The next stretch of audio, 16-bit mono PCM at the stream's rate."""

    async def finalize(self, utterance_id: int) -> None:
        """The caller has finished: a final transcript with this id follows, perhaps an empty one."""

    def transcripts(self) -> AsyncIterator[Transcript]:
        """Interim, stable and final transcripts as they come; ends when the stream is closed."""

    async def close(self) -> None:
        """Ends the stream. Harmless when repeated. Never raises."""


class Recognizer(Protocol):
    """Speech to text."""

    name: str

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        """A stream for one call; `phrases` are words the business uses, for recognisers that can be biased."""

    @property
    def ready(self) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may ask for. `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks for: `arguments` are its own words, as yet unchecked."""

    call_id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, as a language model is shown it.

    Attributes:
        tool_calls: of an assistant's message: what the model asked for.
        tool_call_id: of a tool's message: the call whose result `content` is.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Another provider answers from here on, from the beginning: words that make no clause yet are void."""

    provider: str


Generated = str | ToolCall | TakenOver


@dataclass(frozen=True, slots=True)
class GenerationParameters:
    """How the model may answer. `stop`: it ends before any of these."""

    max_tokens: int = 60
    temperature: float = 0.2
    top_p: float = 0.9
    stop: tuple[str, ...] = ()


class Generator(Protocol):
    """A language model."""

    name: str

    @property
    def calls_tools(self) -> bool:
        """Whether `tools` mean anything to it; where not, it is given none."""

    def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Generated, None]:
        """The answer, piece by piece; closing it early stops the work.

        Requests of one session share the cache of their common prompt. After a `ToolCall` the answer ends: it goes
        on when it is asked again, with the call and its result among the messages.
        """

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        """Evaluates the beginning of a conversation ahead of its first question, which is asked with these tools."""

    async def end_session(self, session_id: str) -> None:
        """The call is over. Never raises."""

    @property
    def ready(self) -> bool: ...

    async def close(self) -> None: ...


class Synthesizer(Protocol):
    """Text to speech."""

    name: str

    def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        """The spoken text as 16-bit mono PCM, in pieces as they are made; closing it early stops the work."""

    @property
    def ready(self) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Providers:
    """One provider for each stage of a conversation."""

    recognizer: Recognizer
    generator: Generator
    synthesizer: Synthesizer

    def names(self) -> dict[str, str]:
        """Stage -> the provider's name in the settings."""
        return {"asr": self.recognizer.name, "llm": self.generator.name, "tts": self.synthesizer.name}

    def ready(self) -> dict[str, bool]:
        """Stage -> whether it would be served now."""
        return {"asr": self.recognizer.ready, "llm": self.generator.ready, "tts": self.synthesizer.ready}
