"""opensips.ai.tts.TTSService over an engine.

A refusal is a gRPC status with its reason. `SynthesizeText` sends a `SynthesisError` message before it, for clients
that read only messages; `error_code` is the status' name.
"""

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from services.common.lifecycle import Lifecycle
from services.common.model_files import ModelBroken, ModelMissing
from services.tts.engine import Engine, EngineFailedError, UnknownVoiceError
from services.tts.pcm import BYTES_PER_SAMPLE, SAMPLE_RATES_HZ, duration_s
from services.tts.phrase_cache import PhraseCache
from services.tts.requests import (
    InvalidRequestError,
    Speech,
    check_sample_rate,
    check_speaking_rate,
    check_text,
    spoken_clauses,
)
from services.tts.settings import SynthesisSettings
from services.tts.speaker import Speaker, SpokenAudio
from services.tts.statistics import Statistics, Synthesis
from voice_api import tts_pb2, tts_pb2_grpc

log = logging.getLogger(__name__)

# Small enough for a client to begin with, large enough that messages cost nothing beside the speech in them.
CHUNK_MS = 200
# A gRPC client takes messages of 4 MiB unless it was told otherwise; the rest is for the envelope.
SINGLE_SIZE_MAX_BYTES = 4 * 1024 * 1024 - 4096

_Context = grpc.aio.ServicerContext[Any, Any]


class _RefusedError(Exception):
    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class TtsServicer(tts_pb2_grpc.TTSServiceServicer):
    """Answers while the lifecycle lets requests in."""

    def __init__(
        self,
        settings: SynthesisSettings,
        engine: Engine,
        speaker: Speaker,
        cache: PhraseCache,
        lifecycle: Lifecycle,
        statistics: Statistics | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._speaker = speaker
        self._cache = cache
        self._lifecycle = lifecycle
        self._statistics = statistics or Statistics()
        self._voice = settings.voice
        self._sample_rate_hz: int = settings.sample_rate

    async def SynthesizeText(  # noqa: N802  gRPC's name
        self, request: tts_pb2.SynthesizeRequest, context: _Context
    ) -> AsyncIterator[tts_pb2.SynthesizeResponse]:
        try:
            async with contextlib.aclosing(self._stream(request)) as responses:
                async for response in responses:
                    yield response
        except _RefusedError as refused:
            error = tts_pb2.SynthesisError(error_message=refused.reason, error_code=refused.code.name)
            yield tts_pb2.SynthesizeResponse(error=error)
            await context.abort(refused.code, refused.reason)

    async def SynthesizeSingle(  # noqa: N802
        self, request: tts_pb2.SynthesizeRequest, context: _Context
    ) -> tts_pb2.SynthesizeResponse:
        pcm = bytearray()
        try:
            with self._synthesis() as synthesis:
                async with contextlib.aclosing(self._spoken(self._speech(request), synthesis)) as clauses:
                    async for clause in clauses:
                        pcm += clause.pcm
                        if len(pcm) > SINGLE_SIZE_MAX_BYTES:
                            raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, _too_long(request.text))
        except _RefusedError as refused:
            await context.abort(refused.code, refused.reason)
        return tts_pb2.SynthesizeResponse(audio_chunk=bytes(pcm))

    async def Configure(  # noqa: N802
        self,
        request: tts_pb2.ConfigureRequest,
        context: _Context,  # noqa: ARG002
    ) -> tts_pb2.ConfigureResponse:
        """Sets what requests that name no voice or rate get; an empty field changes nothing."""
        try:
            voice = self._engine.voice(request.voice).name if request.voice else self._voice
            rate_hz = check_sample_rate(request.sample_rate) if request.sample_rate else self._sample_rate_hz
        except (UnknownVoiceError, InvalidRequestError) as error:
            return tts_pb2.ConfigureResponse(success=False, message=str(error))
        self._voice, self._sample_rate_hz = voice, rate_hz
        log.info("configured", extra={"voice": voice, "sample_rate_hz": rate_hz})
        return tts_pb2.ConfigureResponse(success=True, message=f"voice {voice}, {rate_hz} Hz")

    async def GetVoices(self, request: Empty, context: _Context) -> tts_pb2.VoicesResponse:  # noqa: ARG002, N802
        return tts_pb2.VoicesResponse(
            voices=[
                tts_pb2.VoiceInfo(
                    name=voice.name,
                    display_name=voice.display_name,
                    language=voice.language,
                    gender=voice.gender,
                    description=voice.description,
                    supported_rates=SAMPLE_RATES_HZ,
                )
                for voice in self._engine.voices()
            ]
        )

    async def HealthCheck(self, request: Empty, context: _Context) -> tts_pb2.HealthResponse:  # noqa: ARG002, N802
        readiness = self._lifecycle.readiness
        status = tts_pb2.HealthResponse.SERVING if readiness.ready else tts_pb2.HealthResponse.NOT_SERVING
        return tts_pb2.HealthResponse(status=status, message=str(readiness) or "ready", voice_model=self._voice)

    async def GetStats(self, request: Empty, context: _Context) -> tts_pb2.StatsResponse:  # noqa: ARG002, N802
        return tts_pb2.StatsResponse(
            active_sessions=self._statistics.active,
            total_syntheses=self._statistics.total,
            average_processing_time=self._statistics.average_processing_s,
            uptime_seconds=int(self._statistics.uptime_s),
            voice_model=self._voice,
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
        )

    async def _stream(self, request: tts_pb2.SynthesizeRequest) -> AsyncGenerator[tts_pb2.SynthesizeResponse, None]:
        with self._synthesis() as synthesis:
            speech = self._speech(request)
            yield _started(speech)
            async with contextlib.aclosing(self._spoken(speech, synthesis)) as clauses:
                async for clause in clauses:
                    for chunk in _chunks(clause.pcm, speech.sample_rate_hz):
                        synthesis.packets += 1
                        yield tts_pb2.SynthesizeResponse(audio_chunk=chunk)
                    if request.clause_marks:
                        mark = tts_pb2.Clause(text=clause.text, start=clause.start_s, end=clause.end_s)
                        yield tts_pb2.SynthesizeResponse(clause=mark)
            yield _completed(synthesis)

    @contextlib.contextmanager
    def _synthesis(self) -> Iterator[Synthesis]:
        limit = self._settings.requests_max
        if self._statistics.active >= limit:
            raise _RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{limit} requests are being answered; try again")
        with self._statistics.synthesis() as synthesis:
            yield synthesis

    def _speech(self, request: tts_pb2.SynthesizeRequest) -> Speech:
        try:
            text = check_text(request.text, self._settings.text_max_chars)
            voice = self._engine.voice(request.voice or self._voice)
            return Speech(
                clauses=spoken_clauses(text, voice.language),
                voice=voice,
                sample_rate_hz=check_sample_rate(request.sample_rate or self._sample_rate_hz),
                speaking_rate=check_speaking_rate(request.speaking_rate or self._settings.speaking_rate),
            )
        except (InvalidRequestError, UnknownVoiceError) as error:
            raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error

    async def _spoken(self, speech: Speech, synthesis: Synthesis) -> AsyncGenerator[SpokenAudio, None]:
        try:
            async with contextlib.aclosing(self._speaker.speak(speech)) as clauses:
                async for clause in clauses:
                    audio_s = duration_s(len(clause.pcm), speech.sample_rate_hz)
                    synthesis.clause(len(clause.pcm), audio_s, from_cache=clause.from_cache)
                    yield clause
        except (ModelMissing, ModelBroken) as error:
            raise _RefusedError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
        except EngineFailedError as error:
            log.exception("rendering failed", extra={"voice": speech.voice.name})
            raise _RefusedError(grpc.StatusCode.INTERNAL, str(error)) from error


def _chunks(pcm: bytes, sample_rate_hz: int) -> Iterator[bytes]:
    size = sample_rate_hz * CHUNK_MS // 1000 * BYTES_PER_SAMPLE
    return (pcm[at : at + size] for at in range(0, len(pcm), size))


def _started(speech: Speech) -> tts_pb2.SynthesizeResponse:
    info = tts_pb2.AudioInfo(sample_rate=speech.sample_rate_hz, channels=1, bit_depth=16, format="pcm_s16le")
    started = tts_pb2.SynthesisStarted(message=f"{len(speech.clauses)} clauses", audio_info=info)
    return tts_pb2.SynthesizeResponse(started=started)


def _completed(synthesis: Synthesis) -> tts_pb2.SynthesizeResponse:
    stats = tts_pb2.SynthesisStats(
        audio_duration_seconds=synthesis.audio_s,
        total_bytes=synthesis.total_bytes,
        packet_count=synthesis.packets,
        processing_time_ms=synthesis.elapsed_s * 1000,
        first_audio_ms=synthesis.first_audio_s * 1000,
        from_cache=synthesis.from_cache,
    )
    return tts_pb2.SynthesizeResponse(completed=tts_pb2.SynthesisCompleted(message="completed", stats=stats))


def _too_long(text: str) -> str:
    return (
        f"the audio of {len(text)} characters is longer than one message holds ({SINGLE_SIZE_MAX_BYTES} bytes);"
        " use SynthesizeText, or a lower sample_rate"
    )
