"""Builds and runs the pipeline of one call."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from core.dialogue.dialogue import Dialogue
from core.errors import CallEnded, ProviderError
from core.leg import CallLeg, EndReason, LegEnded
from core.observability.call_record import CallRecord
from core.pipeline.drained import drained
from core.pipeline.leg_input import LegInput
from core.pipeline.leg_output import LegOutput
from core.pipeline.phrase_book import PhraseBook
from core.pipeline.recognition import Recognition
from core.pipeline.rehearsal import EmptyLeg
from core.pipeline.reply_audio import ReplyMaker
from core.pipeline.responder import Responder
from core.pipeline.settings import AudioSettings
from core.pipeline.turn_limit import TurnLimit
from core.pipeline.turns import VAD_STOP_S, EndOfTurn, SpokenWordsStart
from core.pipeline.voice_activity import VoiceActivity
from core.providers.base import GenerationParameters, Providers

log = logging.getLogger(__name__)

# pipecat ends a turn that nothing else ended; ours always ends, so this only backs it up.
TURN_WATCHDOG_S = 15.0
GOODBYE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Conversations:
    """What the pipelines of one agent's calls are built from."""

    providers: Providers
    phrases: PhraseBook
    audio: AudioSettings
    parameters: GenerationParameters
    voice_activity: VoiceActivity

    async def run(self, leg: CallLeg, dialogue: Dialogue, record: CallRecord, phrases: Sequence[str]) -> LegEnded:
        """Talks on an answered leg until it ends; cancelling ends the conversation, not the leg."""
        ended: list[LegEnded] = []

        def on_ended(event: LegEnded) -> None:
            ended.append(event)
            finished.set()

        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False, check_dangling_tasks=False)
        worker = self._worker(leg, dialogue, record, phrases, on_ended)
        finished = asyncio.Event()
        await runner.add_workers(worker)
        running = asyncio.get_running_loop().create_task(runner.run(), name="pipeline")
        waiting = asyncio.get_running_loop().create_task(finished.wait(), name="leg ended")
        warming = asyncio.get_running_loop().create_task(self._warm_up(dialogue, leg.info.call_id), name="warm up")
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            warming.cancel()
            await worker.cancel()
            await asyncio.gather(running, warming, return_exceptions=True)
        return ended[0] if ended else LegEnded(EndReason.ERROR, "the pipeline ended before the leg")

    async def rehearse(self, dialogue: Dialogue) -> None:
        """Runs one call with nobody on it: what is loaded, opened or compiled at first use is then there."""
        leg = EmptyLeg()
        await self.run(leg, dialogue, CallRecord(leg.info.call_id, leg.info.transport, "", ""), ())
        await self.providers.generator.end_session(leg.info.call_id)

    async def _warm_up(self, dialogue: Dialogue, session_id: str) -> None:
        generator = self.providers.generator
        tools = dialogue.tools.offered if generator.calls_tools else ()
        try:
            await generator.warm_up(dialogue.opening(), session_id, tools)
        except ProviderError as error:
            log.warning("model not warmed", extra={"error": str(error)})

    async def say_goodbye(self, leg: CallLeg, dialogue: Dialogue) -> None:
        """Says goodbye outside any conversation, as at the end of the time allowed; waits until it was heard."""
        pcm = self.phrases.get(dialogue.settings.goodbye_message, leg.sample_rate_hz)
        if pcm is None:
            return
        leg.clear_playback()
        try:
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await leg.play(pcm)
                await drained(leg)
        except (CallEnded, TimeoutError):
            log.debug("the caller did not wait for the goodbye")

    def _worker(
        self,
        leg: CallLeg,
        dialogue: Dialogue,
        record: CallRecord,
        phrases: Sequence[str],
        on_ended: Callable[[LegEnded], None],
    ) -> PipelineWorker:
        rate_hz = max(self.audio.sample_rate, leg.sample_rate_hz)
        maker = ReplyMaker(
            generator=self.providers.generator,
            synthesizer=self.providers.synthesizer,
            phrases=self.phrases,
            parameters=self.parameters,
            settings=dialogue.settings,
            session_id=leg.info.call_id,
            sample_rate_hz=leg.sample_rate_hz,
        )
        turns = UserTurnStrategies(start=[VADUserTurnStartStrategy(), SpokenWordsStart()], stop=[EndOfTurn(self.audio)])
        return PipelineWorker(
            Pipeline(
                [
                    LegInput(leg, rate_hz, on_ended),
                    VADProcessor(
                        vad_analyzer=self.voice_activity.analyzer(self._vad_params()), speech_activity_period=1.0
                    ),
                    Recognition(self.providers.recognizer, rate_hz, phrases),
                    TurnLimit(self.audio.max_turn_s),
                    UserTurnProcessor(user_turn_strategies=turns, user_turn_stop_timeout=TURN_WATCHDOG_S),
                    Responder(leg, dialogue, maker, record),
                    LegOutput(leg),
                ]
            ),
            params=PipelineParams(audio_in_sample_rate=rate_hz, audio_out_sample_rate=leg.sample_rate_hz),
            cancel_on_idle_timeout=False,
            idle_timeout_secs=None,
            enable_rtvi=False,
            enable_turn_tracking=False,
            check_dangling_tasks=False,
        )

    def _vad_params(self) -> VADParams:
        return VADParams(
            confidence=self.audio.vad_threshold,
            start_secs=self.audio.barge_in_ms / 1000,
            stop_secs=VAD_STOP_S,
            min_volume=self.audio.vad_min_volume,
        )
