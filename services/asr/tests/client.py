"""A client as the schema has it, with the calls that tests make."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
from google.protobuf import empty_pb2

from voice_api import asr_pb2, asr_pb2_grpc

TIMEOUT_S = 20.0


class Stream:
    """One StreamingRecognize."""

    def __init__(
        self, call: "grpc.aio.StreamStreamCall[asr_pb2.StreamingRecognizeRequest, asr_pb2.StreamingRecognizeResponse]"
    ) -> None:
        self.call = call

    async def configure(self, **config: object) -> "Stream":
        await self.send(config=asr_pb2.RecognitionConfig(**config))  # type: ignore[arg-type]
        return self

    async def send(self, **request: object) -> None:
        await self.call.write(asr_pb2.StreamingRecognizeRequest(**request))  # type: ignore[arg-type]

    async def say(self, pcm: bytes, chunk_size: int = 640) -> None:
        for start in range(0, len(pcm), chunk_size):
            await self.send(audio_data=pcm[start : start + chunk_size])

    async def finalize(self, utterance_id: int = 1) -> None:
        await self.send(finalize=asr_pb2.Finalize(utterance_id=utterance_id))

    async def next(self) -> asr_pb2.StreamingRecognizeResponse:
        async with asyncio.timeout(TIMEOUT_S):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, "the stream ended"
        assert isinstance(response, asr_pb2.StreamingRecognizeResponse)
        return response

    async def final(self) -> asr_pb2.StreamingRecognizeResponse:
        """The next final, whatever comes before it."""
        while not (response := await self.next()).is_final:
            pass
        return response

    async def stable(self) -> asr_pb2.StreamingRecognizeResponse:
        while not (response := await self.next()).is_stable:
            pass
        return response

    async def rest(self) -> list[asr_pb2.StreamingRecognizeResponse]:
        """Everything up to the end, which this end of the stream announces."""
        await self.call.done_writing()
        async with asyncio.timeout(TIMEOUT_S):
            return [response async for response in self._responses()]

    async def error(self) -> grpc.aio.AioRpcError:
        """How the server ended the stream."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async for _ in self._responses():
                    pass
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("the stream ended well")

    async def _responses(self) -> AsyncIterator[asr_pb2.StreamingRecognizeResponse]:
        while (response := await self.call.read()) is not grpc.aio.EOF:
            assert isinstance(response, asr_pb2.StreamingRecognizeResponse)
            yield response


class Client:
    def __init__(self, stub: "asr_pb2_grpc.ASRServiceAsyncStub", channel: grpc.aio.Channel) -> None:
        self.stub = stub
        self.channel = channel
        self._streams: list[Stream] = []

    def close(self) -> None:
        """Ends what is open, so that the server need not wait for it."""
        for stream in self._streams:
            stream.call.cancel()

    async def stream(self, **config: object) -> Stream:
        stream = Stream(self.stub.StreamingRecognize())
        self._streams.append(stream)
        return await stream.configure(**config) if config else stream

    async def recognize(self, pcm: bytes, **config: object) -> asr_pb2.RecognizeResponse:
        request = asr_pb2.RecognizeRequest(config=asr_pb2.RecognitionConfig(**config), audio_data=pcm)  # type: ignore[arg-type]
        return await self.stub.Recognize(request, timeout=TIMEOUT_S)

    async def configure(self, **config: object) -> asr_pb2.ConfigureResponse:
        request = asr_pb2.ConfigureRequest(config=asr_pb2.RecognitionConfig(**config))  # type: ignore[arg-type]
        return await self.stub.Configure(request, timeout=TIMEOUT_S)

    async def health(self) -> asr_pb2.HealthResponse:
        return await self.stub.HealthCheck(empty_pb2.Empty(), timeout=TIMEOUT_S)

    async def stats(self) -> asr_pb2.StatsResponse:
        return await self.stub.GetStats(empty_pb2.Empty(), timeout=TIMEOUT_S)


def texts(responses: Iterable[asr_pb2.StreamingRecognizeResponse]) -> list[str]:
    return [response.result.text for response in responses if response.is_final]
