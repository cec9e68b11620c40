"""The voice behind `opensips.ai.tts.TTSService`."""

from collections.abc import AsyncGenerator

import grpc

from core.errors import ProviderRejected
from core.providers.service_channel import ServiceChannel, provider_error
from core.providers.settings import TtsSettings
from services.common.correlation import call_metadata
from voice_api import tts_pb2, tts_pb2_grpc

NAME = "grpc"
SETTINGS = None


class GrpcSynthesizer:
    """Synthesis by the service at `[tts] host:port`."""

    name = NAME

    def __init__(self, settings: TtsSettings) -> None:
        self._settings = settings
        self._service = ServiceChannel("tts", settings)
        self._service.start()
        self._stub = tts_pb2_grpc.TTSServiceStub(self._service.channel)

    @property
    def ready(self) -> bool:
        return self._service.ready

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        call = self._stub.SynthesizeText(
            tts_pb2.SynthesizeRequest(
                text=text,
                voice=self._settings.voice,
                sample_rate=sample_rate_hz,
                speaking_rate=self._settings.speaking_rate,
            ),
            timeout=self._settings.timeout,
            metadata=call_metadata(),
        )
        refusal = ""
        try:
            async for response in call:
                kind = response.WhichOneof("response_type")
                if kind == "audio_chunk":
                    yield response.audio_chunk
                elif kind == "error":
                    # The status that follows says whether to try again; only older servers end without one.
                    refusal = response.error.error_message or response.error.error_code or "no details"
            if refusal:
                raise ProviderRejected(NAME, refusal)
        except grpc.aio.AioRpcError as error:
            raise provider_error(NAME, error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._service.close()


def build(settings: TtsSettings, own: None) -> GrpcSynthesizer:
    return GrpcSynthesizer(settings)
