"""Audio in Media Streams' JSON: the framework's serializer, given one stream's name."""

from typing import cast

from pipecat.frames.frames import InputAudioRawFrame, InterruptionFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.serializers.twilio import TwilioFrameSerializer

from core.transports.twilio.messages import SAMPLE_RATE_HZ


class Framing:
    """16-bit mono PCM at 8 kHz to messages and back, for one stream."""

    def __init__(self, stream_sid: str) -> None:
        self._serializer = TwilioFrameSerializer(
            stream_sid,
            params=TwilioFrameSerializer.InputParams(
                twilio_sample_rate=SAMPLE_RATE_HZ, sample_rate=SAMPLE_RATE_HZ, auto_hang_up=False
            ),
        )

    async def begin(self) -> None:
        # With a rate of its own given, it reads nothing of a pipeline's set-up, and here there is no pipeline.
        await self._serializer.setup(cast(FrameProcessorSetup, None))

    async def decode(self, text: str) -> bytes:
        """The audio of a media message that was found to be one."""
        frame = await self._serializer.deserialize(text)
        return frame.audio if isinstance(frame, InputAudioRawFrame) else b""

    async def encode(self, pcm: bytes) -> str:
        """The media message with this audio."""
        return _text(await self._serializer.serialize(OutputAudioRawFrame(pcm, SAMPLE_RATE_HZ, 1)))

    async def clear(self) -> str:
        """The message that has Twilio drop what it has not played."""
        return _text(await self._serializer.serialize(InterruptionFrame()))


def _text(message: str | bytes | None) -> str:
    assert isinstance(message, str)
    return message
