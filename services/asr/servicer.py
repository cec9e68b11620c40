"""The RPCs of opensips.ai.asr.ASRService, on one engine."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2

from services.asr.engine import SAMPLE_RATE_HZ
from services.asr.requests import (
    InvalidRequest,
    StreamOptions,
    check_model,
    control_of,
    default_options,
    samples_of,
    stream_options,
)
from services.asr.resample import Upsampler
from services.asr.responses import response_of, result_of
from services.asr.segmenter import Segmenter
from services.asr.session import Hearing, Session
from services.asr.utterance import Outcome, Utterance
from services.common.lifecycle import Lifecycle
from voice_api import asr_pb2, asr_pb2_grpc

log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[asr_pb2.StreamingRecognizeRequest, asr_pb2.StreamingRecognizeResponse]
# A request's whole audio is looked at in steps, so that streams are served in between.
_RECOGNIZE_STEP_S = 2
_RECOGNIZE_PENDING_S = 10


class AsrServicer(asr_pb2_grpc.ASRServiceServicer):
    """Called only once the engine is loaded, but for HealthCheck and GetStats."""

    def __init__(self, hearing: Hearing, lifecycle: Lifecycle) -> None:
        self._hearing = hearing
        self._lifecycle = lifecycle
        self._defaults = default_options(hearing.settings)

    # A coroutine that writes to the context, as grpc.aio allows beside a generator, which its types do not know.
    async def StreamingRecognize(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[asr_pb2.StreamingRecognizeRequest], context: _Context
    ) -> None:
        await self._admit(context)
        try:
            with self._hearing.statistics.connection():
                options = await self._first(request_iterator)
                # Else they go with the first response; were that cancelled, gRPC could not end the stream any more.
                await context.send_initial_metadata(())
                async with asyncio.TaskGroup() as group:
                    session = Session(self._hearing, options, group)
                    group.create_task(_write(session, context))
                    await self._listen(session, request_iterator)
        except InvalidRequest as error:
            await _refuse(context, error)
        except BaseExceptionGroup as errors:
            invalid = errors.subgroup(InvalidRequest)
            if invalid is not None:
                await _refuse(context, _leaf(invalid))
            failure = _leaf(errors)
            log.error("stream failed", exc_info=failure)
            await context.abort(grpc.StatusCode.INTERNAL, f"the stream failed: {failure}")

    async def Recognize(  # noqa: N802  gRPC's name
        self,
        request: asr_pb2.RecognizeRequest,
        context: "grpc.aio.ServicerContext[asr_pb2.RecognizeRequest, asr_pb2.RecognizeResponse]",
    ) -> asr_pb2.RecognizeResponse:
        await self._admit(context)
        settings = self._hearing.settings
        try:
            options = stream_options(request.config, self._defaults, self._hearing.engine)
            size_max = int(settings.recognize_max_s * options.sample_rate_hz) * 2
            samples = samples_of(request.audio_data, size_max)
        except InvalidRequest as error:
            await _refuse(context, error)
        with self._hearing.statistics.connection():
            if options.sample_rate_hz != SAMPLE_RATE_HZ:
                samples = Upsampler().feed(samples)
            segmenter = Segmenter(
                self._hearing.voice_activity.stream(), settings.vad_threshold, settings.margin_ms / 1000
            )
            utterance = Utterance(
                self._hearing.engine, self._hearing.scheduler, options.recognition, segmenter.utterance
            )
            step = _RECOGNIZE_STEP_S * SAMPLE_RATE_HZ
            for start in range(0, len(samples), step):
                segmenter.feed(samples[start : start + step])
                await asyncio.sleep(0)
                if utterance.audio.pending_s > _RECOGNIZE_PENDING_S:
                    await utterance.accept()
            segmenter.flush()
            outcome = await utterance.finish()
            self._count(outcome)
            return asr_pb2.RecognizeResponse(result=result_of(outcome.transcript))

    async def Configure(  # noqa: N802  gRPC's name
        self,
        request: asr_pb2.ConfigureRequest,
        context: "grpc.aio.ServicerContext[asr_pb2.ConfigureRequest, asr_pb2.ConfigureResponse]",
    ) -> asr_pb2.ConfigureResponse:
        """What streams begun from now on get where they do not say."""
        try:
            check_model(request.config, self._hearing.engine)
            defaults = default_options(self._hearing.settings)
            self._defaults = stream_options(request.config, defaults, self._hearing.engine)
        except InvalidRequest as error:
            await _refuse(context, error)
        return asr_pb2.ConfigureResponse(
            success=True,
            message=f"{self._hearing.engine.model} at {self._defaults.sample_rate_hz} Hz from the next stream on",
        )

    async def HealthCheck(  # noqa: N802  gRPC's name
        self,
        request: empty_pb2.Empty,  # noqa: ARG002
        context: "grpc.aio.ServicerContext[empty_pb2.Empty, asr_pb2.HealthResponse]",  # noqa: ARG002
    ) -> asr_pb2.HealthResponse:
        readiness = self._lifecycle.readiness
        if not readiness.ready:
            return asr_pb2.HealthResponse(status=asr_pb2.HealthResponse.NOT_SERVING, message=str(readiness))
        return asr_pb2.HealthResponse(
            status=asr_pb2.HealthResponse.SERVING, message="serving", model_loaded=str(self._hearing.engine.model)
        )

    async def GetStats(  # noqa: N802  gRPC's name
        self,
        request: empty_pb2.Empty,  # noqa: ARG002
        context: "grpc.aio.ServicerContext[empty_pb2.Empty, asr_pb2.StatsResponse]",  # noqa: ARG002
    ) -> asr_pb2.StatsResponse:
        statistics = self._hearing.statistics
        return asr_pb2.StatsResponse(
            active_connections=statistics.active,
            total_connections=statistics.total,
            average_processing_time=statistics.average_pass_s,
            uptime_seconds=int(statistics.uptime_s),
            model_info=f"{self._hearing.engine.name}: {self._hearing.engine.model}",
            phantoms_rejected=statistics.phantoms,
        )

    async def _admit(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        streams_max = self._hearing.settings.streams_max
        if self._hearing.statistics.active >= streams_max:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{streams_max} streams are being heard, no more are taken"
            )

    async def _first(self, requests: AsyncIterator[asr_pb2.StreamingRecognizeRequest]) -> StreamOptions:
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("request_type") != "config":
            raise InvalidRequest("the first message of a stream carries its config")
        return stream_options(first.config, self._defaults, self._hearing.engine)

    async def _listen(self, session: Session, requests: AsyncIterator[asr_pb2.StreamingRecognizeRequest]) -> None:
        size_max = self._hearing.settings.audio_message_max_bytes
        async for request in requests:
            kind = request.WhichOneof("request_type")
            if kind == "audio_data":
                await session.feed(samples_of(request.audio_data, size_max))
            elif kind == "finalize":
                await session.finalize(request.finalize.utterance_id)
            elif kind == "control_message":
                control = control_of(request.control_message)
                if control.reset:
                    session.reset()
                if control.eof:
                    await session.end(answer=True)
                    return
            else:
                raise InvalidRequest("a config comes once, first" if kind else "the message is empty")
        await session.end(answer=False)

    def _count(self, outcome: Outcome) -> None:
        statistics = self._hearing.statistics
        if outcome.seconds:
            statistics.read("final", outcome.seconds)
        statistics.answered(outcome.seconds, outcome.rejection)


async def _write(session: Session, context: _Context) -> None:
    while heard := await session.outbox.get():
        await context.write(response_of(heard))


async def _refuse(context: "grpc.aio.ServicerContext[Any, Any]", error: BaseException) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    raise AssertionError("abort raises")


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
