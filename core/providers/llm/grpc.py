"""The language model behind `opensips.ai.llm.LLMService`."""

import logging
from collections.abc import AsyncGenerator, Sequence

import grpc

from core.providers.base import GenerationParameters, Message, Tool
from core.providers.llm.thoughts import Aloud
from core.providers.service_channel import ServiceChannel, provider_error
from core.providers.settings import LlmSettings
from services.common.correlation import call_metadata
from voice_api import llm_pb2, llm_pb2_grpc

log = logging.getLogger(__name__)

NAME = "grpc"
SETTINGS = None
END_SESSION_TIMEOUT_S = 2.0


def _to_proto(messages: Sequence[Message]) -> list[llm_pb2.Message]:
    return [llm_pb2.Message(role=message.role, content=message.content) for message in messages]


class GrpcGenerator:
    """Generation by the service at `[llm] host:port`."""

    name = NAME
    calls_tools = False

    def __init__(self, settings: LlmSettings) -> None:
        self._timeout_s = settings.timeout
        self._service = ServiceChannel("llm", settings)
        self._service.start()
        self._stub = llm_pb2_grpc.LLMServiceStub(self._service.channel)

    @property
    def ready(self) -> bool:
        return self._service.ready

    async def generate(
        self,
        messages: Sequence[Message],
        parameters: GenerationParameters,
        session_id: str,
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[str, None]:
        call = self._stub.ProcessText(
            llm_pb2.TextProcessingRequest(
                messages=_to_proto(messages),
                temperature=parameters.temperature,
                top_p=parameters.top_p,
                max_tokens=parameters.max_tokens,
                stop=list(parameters.stop),
                session_id=session_id,
            ),
            timeout=self._timeout_s,
            metadata=call_metadata(),
        )
        aloud = Aloud()
        try:
            async for response in call:
                if said := aloud.feed(response.chunk):
                    yield said
            if rest := aloud.rest():
                yield rest
        except grpc.aio.AioRpcError as error:
            raise provider_error(NAME, error) from error
        finally:
            # Leaving early stops the generation on the other side.
            call.cancel()

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        request = llm_pb2.WarmUpRequest(session_id=session_id, messages=_to_proto(messages))
        try:
            await self._stub.WarmUp(request, timeout=self._timeout_s, metadata=call_metadata())
        except grpc.aio.AioRpcError as error:
            raise provider_error(NAME, error) from error

    async def end_session(self, session_id: str) -> None:
        request = llm_pb2.EndSessionRequest(session_id=session_id)
        try:
            await self._stub.EndSession(request, timeout=END_SESSION_TIMEOUT_S, metadata=call_metadata())
        except grpc.aio.AioRpcError as error:
            # The service forgets idle sessions by itself.
            log.debug("session not ended", extra={"status": error.code().name})

    async def close(self) -> None:
        await self._service.close()


def build(settings: LlmSettings, own: None) -> GrpcGenerator:
    return GrpcGenerator(settings)
