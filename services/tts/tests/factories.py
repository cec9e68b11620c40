"""What the tests ask the service for, and what comes back."""

from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.tts.settings import SynthesisSettings
from services.tts.tests.tone_engine import ANNA
from voice_api import tts_pb2


def settings(**changes: Any) -> SynthesisSettings:
    return SynthesisSettings(**{"voice": ANNA.name, **changes})


def request(text: str, **changes: Any) -> tts_pb2.SynthesizeRequest:
    return tts_pb2.SynthesizeRequest(text=text, **changes)


@dataclass
class Answer:
    """A stream of responses, taken apart."""

    started: list[tts_pb2.SynthesisStarted] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    clauses: list[tts_pb2.Clause] = field(default_factory=list)
    completed: list[tts_pb2.SynthesisCompleted] = field(default_factory=list)
    errors: list[tts_pb2.SynthesisError] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    @property
    def pcm(self) -> bytes:
        return b"".join(self.chunks)

    def add(self, response: tts_pb2.SynthesizeResponse) -> None:
        kind = response.WhichOneof("response_type")
        assert kind
        self.kinds.append(kind)
        match kind:
            case "started":
                self.started.append(response.started)
            case "audio_chunk":
                self.chunks.append(response.audio_chunk)
            case "clause":
                self.clauses.append(response.clause)
            case "completed":
                self.completed.append(response.completed)
            case "error":
                self.errors.append(response.error)


async def answer(responses: AsyncIterable[tts_pb2.SynthesizeResponse], into: Answer | None = None) -> Answer:
    """All of a stream. What came before it failed is in `into`."""
    answered = into or Answer()
    async for response in responses:
        answered.add(response)
    return answered


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32768
