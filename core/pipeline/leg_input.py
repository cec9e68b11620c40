"""The head of the pipeline: what the leg receives becomes frames."""

import asyncio
from collections.abc import Callable

from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputAudioRawFrame, StartFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from core.audio.resample import Interpolator
from core.leg import AudioReceived, CallLeg, DigitReceived, HoldChanged, LegEnded
from core.pipeline.frames import DigitFrame, HoldFrame


class LegInput(FrameProcessor):
    """Reads the leg until it ends, then calls `on_ended`.

    Audio reaches the pipeline at `sample_rate_hz`: the leg's own, or twice that.
    """

    def __init__(self, leg: CallLeg, sample_rate_hz: int, on_ended: Callable[[LegEnded], None]) -> None:
        super().__init__()
        self._leg = leg
        self._rate_hz = sample_rate_hz
        self._upsampler = Interpolator() if sample_rate_hz == 2 * leg.sample_rate_hz else None
        self._on_ended = on_ended
        self._reader: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._reader = self.create_task(self._read())
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        await self._stop()
        await super().cleanup()

    async def _stop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await self.cancel_task(reader)

    async def _read(self) -> None:
        while True:
            match await self._leg.receive():
                case AudioReceived(pcm=pcm):
                    if self._upsampler is not None:
                        pcm = self._upsampler.process(pcm)
                    await self.push_frame(InputAudioRawFrame(pcm, self._rate_hz, 1))
                case DigitReceived(digit=digit):
                    await self.push_frame(DigitFrame(digit=digit))
                case HoldChanged(held=held):
                    await self.push_frame(HoldFrame(held=held))
                case LegEnded() as ended:
                    self._on_ended(ended)
                    return
