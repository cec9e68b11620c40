"""The three services behind proto/voice_api in this process, each with what it hears, answers or says by script."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from itertools import cycle
from typing import Any

import grpc

from core.providers.asr.scripted import ScriptedStream
from core.providers.base import ToolCall
from core.providers.tts.scripted import ScriptedSynthesizer
from tests.support.standins.script import Script
from voice_api import asr_pb2, asr_pb2_grpc, llm_pb2, llm_pb2_grpc, tts_pb2, tts_pb2_grpc


class HummingVoice:
    """What any server of speech may speak with: a hum as long as the text, held up where a test wants it.

    Attributes:
        holds: after the first piece of such a text it waits for `may_go_on`.
        said: the texts it was given.
        cancelled: texts that whoever asked for them gave up.
    """

    def __init__(self) -> None:
        self.holds = ""
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.said: list[str] = []
        self.running = 0
        self.cancelled = 0

    async def speak(self, text: str, rate_hz: int) -> AsyncGenerator[bytes, None]:
        self.said.append(text)
        self.running += 1
        try:
            async for piece in ScriptedSynthesizer(0.0).synthesize(text, rate_hz):
                yield piece
                if self.holds and self.holds in text:
                    await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class AsrService(asr_pb2_grpc.ASRServiceServicer):
    """Hears the lines, over and over.

    Attributes:
        running: streams that are open.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = cycle(lines)
        self.running = 0

    async def StreamingRecognize(  # type: ignore[override]  # noqa: N802  gRPC's name
        self, request_iterator: AsyncIterator[asr_pb2.StreamingRecognizeRequest], context: Any
    ) -> None:
        self.running += 1
        try:
            first = await anext(aiter(request_iterator))
            stream = ScriptedStream(self._lines, int(first.config.sample_rate))
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(_write(stream, context))
                async for request in request_iterator:
                    if request.WhichOneof("request_type") == "finalize":
                        await stream.finalize(request.finalize.utterance_id)
                    else:
                        await stream.send(request.audio_data)
                writing.cancel()
        finally:
            self.running -= 1

    def register(self, server: grpc.aio.Server) -> None:
        asr_pb2_grpc.add_ASRServiceServicer_to_server(self, server)


async def _write(stream: ScriptedStream, context: Any) -> None:
    async for transcript in stream.transcripts():
        await context.write(
            asr_pb2.StreamingRecognizeResponse(
                result=asr_pb2.RecognitionResult(text=transcript.text),
                is_final=transcript.is_final,
                is_stable=transcript.is_stable,
                utterance_id=transcript.utterance_id,
                rejected_reason=transcript.rejected_reason,
            )
        )


class LlmService(llm_pb2_grpc.LLMServiceServicer):
    """Answers by the script; counts there what was given up."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def ProcessText(  # noqa: N802  gRPC's name
        self, request: llm_pb2.TextProcessingRequest, _context: Any
    ) -> AsyncIterator[llm_pb2.TextResponse]:
        messages = [{"role": each.role, "content": each.content} for each in request.messages]
        async with self.script.asked({"messages": messages}), aclosing(self.script.pieces(messages)) as pieces:
            async for piece in pieces:
                assert not isinstance(piece, ToolCall), "the protocol knows no tools"
                yield llm_pb2.TextResponse(chunk=piece)
            yield llm_pb2.TextResponse(done=True, finish_reason="stop")

    async def WarmUp(self, _request: llm_pb2.WarmUpRequest, _context: Any) -> llm_pb2.WarmUpResponse:  # noqa: N802
        return llm_pb2.WarmUpResponse(prompt_tokens=7)

    async def EndSession(self, _request: Any, _context: Any) -> llm_pb2.EndSessionResponse:  # noqa: N802
        return llm_pb2.EndSessionResponse(existed=True)

    def register(self, server: grpc.aio.Server) -> None:
        llm_pb2_grpc.add_LLMServiceServicer_to_server(self, server)


class TtsService(tts_pb2_grpc.TTSServiceServicer):
    """Speaks with the voice it is given."""

    def __init__(self, voice: HummingVoice) -> None:
        self.voice = voice

    async def SynthesizeText(  # noqa: N802  gRPC's name
        self, request: tts_pb2.SynthesizeRequest, _context: Any
    ) -> AsyncIterator[tts_pb2.SynthesizeResponse]:
        yield tts_pb2.SynthesizeResponse(started=tts_pb2.SynthesisStarted(message="begun"))
        async with aclosing(self.voice.speak(request.text, request.sample_rate)) as pieces:
            async for piece in pieces:
                yield tts_pb2.SynthesizeResponse(audio_chunk=piece)
        yield tts_pb2.SynthesizeResponse(completed=tts_pb2.SynthesisCompleted(message="done"))

    def register(self, server: grpc.aio.Server) -> None:
        tts_pb2_grpc.add_TTSServiceServicer_to_server(self, server)
