"""The caller's audio on its way to the recogniser, and its transcripts on their way to the turns."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.time import time_now_iso8601

from core.errors import ProviderError
from core.pipeline.frames import RecognitionFrame
from core.pipeline.settling import Settling
from core.providers.base import RecognitionStream, Recognizer, Transcript

log = logging.getLogger(__name__)

REOPEN_DELAY_S = 0.3
# A final that does not come is answered as if nothing had been said.
FINAL_TIMEOUT_S = 5.0


class Recognition(FrameProcessor):
    """Keeps a recognition stream open for the whole call, and opens another when one breaks.

    Each `UserStoppedSpeakingFrame` is answered with a final `TranscriptionFrame`, whatever happens to the
    recogniser; its `result` is the provider's `Transcript`. Where the caller went on, and stopped again, before
    their first final was there, one answers both.
    """

    def __init__(self, recognizer: Recognizer, sample_rate_hz: int, phrases: Sequence[str]) -> None:
        super().__init__()
        self._recognizer = recognizer
        self._rate_hz = sample_rate_hz
        self._phrases = phrases
        self._stream: RecognitionStream | None = None
        self._settling = Settling(time.monotonic)
        self._away = False
        self._runner: asyncio.Task[None] | None = None
        self._utterance_id = 0
        # The first utterance whose final is due; those up to `_utterance_id` are answered together.
        self._due_from_id = 0
        self._early_words = ""
        self._final_due: asyncio.TimerHandle | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            # The recogniser is the last to need the audio.
            await self._send(frame.audio)
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._runner = self.create_task(self._run())
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._settling.note_speech()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._settling.note_pause()
        elif isinstance(frame, UserStoppedSpeakingFrame):
            await self._finalize()

    async def cleanup(self) -> None:
        await self._stop()
        await super().cleanup()

    async def _stop(self) -> None:
        if self._final_due is not None:
            self._final_due.cancel()
            self._final_due = None
        runner, self._runner = self._runner, None
        if runner is not None:
            await self.cancel_task(runner)

    async def _send(self, pcm: bytes) -> None:
        if self._stream is None:
            return
        try:
            await self._stream.send(pcm)
        except ProviderError as error:
            await self._lose_stream(error)

    async def _finalize(self) -> None:
        self._utterance_id += 1
        self._settling.forget()
        if self._final_due is None:
            self._due_from_id = self._utterance_id
            self._early_words = ""
        else:
            self._final_due.cancel()
        loop = asyncio.get_running_loop()
        self._final_due = loop.call_later(FINAL_TIMEOUT_S, self._give_up_final, self._utterance_id)
        if self._stream is None:
            await self._answer_final(Transcript("", is_final=True, rejected_reason="unavailable"))
            return
        try:
            await self._stream.finalize(self._utterance_id)
        except ProviderError as error:
            await self._lose_stream(error)

    async def _run(self) -> None:
        """Opens streams, one after another, and passes on what they recognise."""
        while True:
            try:
                stream = await self._recognizer.open(self._rate_hz, self._phrases)
            except ProviderError as error:
                await self._lose_stream(error)
                await asyncio.sleep(REOPEN_DELAY_S)
                continue
            self._stream = stream
            self._away = False
            await self.push_frame(RecognitionFrame(working=True))
            try:
                async for transcript in stream.transcripts():
                    await self._note(transcript)
                await self._lose_stream(None)
            except ProviderError as error:
                await self._lose_stream(error)
            finally:
                self._stream = None
                await stream.close()
            await asyncio.sleep(REOPEN_DELAY_S)

    async def _note(self, transcript: Transcript) -> None:
        if transcript.is_final:
            if self._final_due is None or transcript.utterance_id < self._due_from_id:
                return
            if transcript.utterance_id < self._utterance_id:
                self._early_words = f"{self._early_words} {transcript.text}".strip()
            else:
                await self._answer_final(transcript)
        elif self._final_due is None and transcript.text:
            # Between the end of a turn and its final, interim words would seem to begin another turn.
            is_new, is_stable = self._settling.note(transcript)
            if is_new or is_stable:
                result = replace(transcript, is_stable=is_stable)
                await self.push_frame(
                    InterimTranscriptionFrame(transcript.text, "caller", time_now_iso8601(), result=result)
                )

    async def _lose_stream(self, error: ProviderError | None) -> None:
        if not self._away:
            self._away = True
            log.warning("recognition stream lost", extra={"error": str(error) if error else "closed by the service"})
        stream, self._stream = self._stream, None
        if stream is not None:
            # Its reader may not have noticed.
            await stream.close()
        await self.push_frame(RecognitionFrame(working=False))
        if self._final_due is not None:
            await self._answer_final(Transcript("", is_final=True, rejected_reason="unavailable"))

    async def _answer_final(self, transcript: Transcript) -> None:
        if self._final_due is not None:
            self._final_due.cancel()
            self._final_due = None
        text, self._early_words = f"{self._early_words} {transcript.text}".strip(), ""
        frame = TranscriptionFrame(text, "caller", time_now_iso8601(), result=transcript, finalized=True)
        # What the caller said is not lost when they go on speaking.
        frame.interruptible = False
        await self.push_frame(frame)

    def _give_up_final(self, utterance_id: int) -> None:
        if self._final_due is not None and utterance_id == self._utterance_id:
            log.warning("no final transcript came in time", extra={"timeout_s": FINAL_TIMEOUT_S})
            self.create_task(self._answer_final(Transcript("", is_final=True, rejected_reason="timeout")))
