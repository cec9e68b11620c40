"""The recogniser behind `opensips.ai.asr.ASRService`."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc

from core.errors import ProviderUnavailable
from core.providers.base import RecognitionStream, Transcript
from core.providers.service_channel import ServiceChannel, provider_error
from core.providers.settings import AsrSettings
from services.common.correlation import call_metadata
from voice_api import asr_pb2, asr_pb2_grpc

NAME = "grpc"
SETTINGS = None
# Two seconds of 20 ms frames: a recogniser that does not read for longer is not keeping up.
QUEUE_FRAMES = 100
CLOSE_TIMEOUT_S = 1.0


class GrpcRecognitionStream:
    """One StreamingRecognize call."""

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[asr_pb2.StreamingRecognizeRequest, asr_pb2.StreamingRecognizeResponse]",
    ) -> None:
        self._call = call
        self._outgoing: asyncio.Queue[asr_pb2.StreamingRecognizeRequest] = asyncio.Queue(QUEUE_FRAMES)
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="asr-writer")

    async def send(self, pcm: bytes) -> None:
        self._put(asr_pb2.StreamingRecognizeRequest(audio_data=pcm))

    async def finalize(self, utterance_id: int) -> None:
        self._put(
            asr_pb2.StreamingRecognizeRequest(finalize=asr_pb2.Finalize(utterance_id=utterance_id)),
        )

    async def transcripts(self) -> AsyncIterator[Transcript]:
        try:
            async for response in self._call:
                yield Transcript(
                    text=response.result.text,
                    is_final=response.is_final,
                    is_stable=response.is_stable,
                    utterance_id=response.utterance_id,
                    processing_ms=response.processing_ms,
                    rejected_reason=response.rejected_reason,
                )
        except grpc.aio.AioRpcError as error:
            raise provider_error(NAME, error) from error
        except asyncio.CancelledError:
            # gRPC raises it for a reader whom nobody cancelled, when `close` has cancelled the call.
            reader = asyncio.current_task()
            if not self._call.cancelled() or reader is None or reader.cancelling():
                raise

    async def close(self) -> None:
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        self._call.cancel()

    def _put(self, request: asr_pb2.StreamingRecognizeRequest) -> None:
        if self._writer.done():
            raise ProviderUnavailable(NAME, "the recognition stream has broken")
        try:
            self._outgoing.put_nowait(request)
        except asyncio.QueueFull as error:
            raise ProviderUnavailable(NAME, "the recogniser does not keep up with the call's audio") from error

    async def _write(self) -> None:
        while True:
            request = await self._outgoing.get()
            try:
                await self._call.write(request)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                # The reader of `transcripts` is told why; `send` says that the stream has broken.
                return


class GrpcRecognizer:
    """Recognition by the service at `[asr] host:port`."""

    name = NAME

    def __init__(self, settings: AsrSettings) -> None:
        self._language = settings.language
        # A repeated stream would say old audio again. And where many messages of a stream wait to be repeated,
        # gRPC was seen to abort the process (ILLEGAL STATE: FORWARDED_BATCH, grpc issue 40283).
        self._service = ServiceChannel("asr", settings, repeats=False)
        self._service.start()
        self._stub = asr_pb2_grpc.ASRServiceStub(self._service.channel)

    @property
    def ready(self) -> bool:
        return self._service.ready

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        call = self._stub.StreamingRecognize(metadata=call_metadata())
        config = asr_pb2.RecognitionConfig(
            sample_rate=sample_rate_hz,
            interim_results=True,
            client_endpointing=True,
            phrase_list=list(phrases),
            language=self._language,
        )
        try:
            async with asyncio.timeout(self._service.settings.timeout):
                await call.write(asr_pb2.StreamingRecognizeRequest(config=config))
        except grpc.aio.AioRpcError as error:
            raise provider_error(NAME, error) from error
        except TimeoutError as error:
            call.cancel()
            raise ProviderUnavailable(NAME, "the recognition service does not answer") from error
        return GrpcRecognitionStream(call)

    async def close(self) -> None:
        await self._service.close()


def build(settings: AsrSettings, own: None) -> GrpcRecognizer:
    return GrpcRecognizer(settings)
