"""Answers the caller's turns: prepares replies while they speak, lets them be heard once the turn is over."""

import logging
import time

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    StartFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from core.dialogue.action import Action
from core.dialogue.conversation import Exchange
from core.dialogue.dialogue import Dialogue
from core.dialogue.reply import Reply
from core.leg import CallLeg, EndReason
from core.observability import metrics
from core.observability.call_record import CallRecord, TurnRecord
from core.pipeline.frames import (
    DigitFrame,
    HoldFrame,
    RecognitionFrame,
    SpeechOverFrame,
    SpeechStartedFrame,
    TurnEndedFrame,
)
from core.pipeline.idle import IdleTimer
from core.pipeline.interrupted import Interrupted, Rest
from core.pipeline.keys import KeyCollector
from core.pipeline.leaving import Leaving
from core.pipeline.outage import Outage
from core.pipeline.preparation import Preparation
from core.pipeline.question import Question
from core.pipeline.reply_audio import PreparedReply, ReplyMaker
from core.pipeline.speaking import Speaking, Utterance
from core.providers.base import Transcript

log = logging.getLogger(__name__)


class Responder(FrameProcessor):
    """The agent's side of the conversation."""

    def __init__(self, leg: CallLeg, dialogue: Dialogue, maker: ReplyMaker, record: CallRecord) -> None:
        super().__init__()
        self._leg = leg
        self._dialogue = dialogue
        self._settings = dialogue.settings
        self._maker = maker
        self._record = record
        self._speaking = Speaking(self, maker)
        self._interrupted = Interrupted(dialogue.conversation)
        self._leaving = Leaving(self, leg, self._tell_transfer_failed)
        self._preparation = Preparation(dialogue, maker)
        self._caller_speaking = False
        self._turn_ended: TurnEndedFrame | None = None
        self._keys = KeyCollector(self._settings.digits_timeout_s, self._answer_keys)
        self._outage = Outage(self._apologise_for_recognition, self._give_up_recognition)
        self._held = False
        self._idle = IdleTimer(self._settings.idle_timeout_s, self._prompt_idle_caller)
        self._idle_prompts = 0

    # Frames

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case InterruptionFrame():
                self._speaking.hush()
                # The silence does not wait for the providers to stop.
                await self.push_frame(frame, direction)
                await self._stop_speaking()
                return
            case InterimTranscriptionFrame(text=text, result=Transcript(is_stable=True)):
                self._preparation.prepare(self._interrupted.question.then(text))
            case TranscriptionFrame(text=text, result=result):
                await self._answer_turn(text, result)
            case UserStartedSpeakingFrame():
                self._caller_speaking = True
                self._keys.hold()
                self._idle.stop()
            case UserStoppedSpeakingFrame():
                self._caller_speaking = False
            case TurnEndedFrame():
                self._turn_ended = frame
            case SpeechStartedFrame(utterance_id=utterance_id, started_at_s=started_at_s):
                self._speaking.note_started(utterance_id, started_at_s)
            case SpeechOverFrame():
                await self._note_over(frame)
            case DigitFrame(digit=digit):
                await self._note_key(digit)
            case HoldFrame(held=held):
                await self._note_hold(held)
            case RecognitionFrame(working=True):
                self._outage.end()
            case RecognitionFrame():
                self._outage.begin()
            case StartFrame():
                await self.push_frame(frame, direction)
                await self._greet()
                return
            case EndFrame() | CancelFrame():
                await self._stop()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        await self._stop()
        await super().cleanup()

    async def _stop(self) -> None:
        self._idle.stop()
        self._keys.stop()
        self._outage.end()
        self._preparation.drop()
        await self._speaking.stop()
        await self._leaving.stop()
        await self._maker.stop()

    # What the caller says

    async def _answer_turn(self, text: str, result: object) -> None:
        ended, self._turn_ended = self._turn_ended, None
        question = self._interrupted.question.then(text)
        if self._caller_speaking:
            self._preparation.drop()
            # They went on before this transcript was there: the rest belongs to it.
            self._interrupted.question = question
            return
        if self._keys.held_back:
            # They are what is answered; what was said meanwhile is remembered.
            self._preparation.drop()
            if text:
                self._dialogue.conversation.begin(text)
        elif question:
            turn = self._record.begin_turn(heard=question.heard, recognised_s=time.monotonic())
            if ended is not None:
                turn.silent_since_s, turn.decided_s = ended.silent_since_s, ended.decided_at_s
            await self._answer(question, turn)
        else:
            await self._answer_nothing(result)
        self._keys.release()

    async def _answer(self, question: Question, turn: TurnRecord) -> None:
        self._interrupted.question = Question()
        self._idle_prompts = 0
        prepared = self._preparation.take(question)
        await self._speak(prepared, turn, self._dialogue.conversation.begin(question.heard), question)

    async def _answer_nothing(self, result: object) -> None:
        """A turn without words: a noise, or a recogniser that is away. What it interrupted goes on."""
        self._preparation.drop()
        reason = result.rejected_reason if isinstance(result, Transcript) else ""
        log.info("turn without words", extra={"reason": reason, "goes_on": self._interrupted.rest is not None})
        if self._interrupted.rest is not None:
            metrics.FALSE_BARGE_INS.inc()
            await self._go_on(self._interrupted.rest)
        elif reason in ("unavailable", "timeout"):
            await self._say(self._settings.apology_message)
        else:
            self._idle.start()

    # What the agent says

    async def _greet(self) -> None:
        if self._dialogue.greeting:
            await self._say(self._dialogue.greeting)
        else:
            self._idle.start()

    async def _say(self, text: str, action: Action = Action.LISTEN, exchange: Exchange | None = None) -> None:
        """Says a fixed text of the agent's own accord."""
        turn = self._record.begin_turn()
        prepared = PreparedReply("", Reply("dialogue", text, action=action), self._maker)
        await self._speak(prepared, turn, exchange or self._dialogue.conversation.begin(""))

    async def _go_on(self, rest: Rest) -> None:
        """Says the rest of what was interrupted, and does what was to follow."""
        self._interrupted.rest = None
        if rest.question:
            await self._answer(rest.question, self._record.begin_turn(heard=rest.question.heard))
        elif rest.text:
            await self._say(rest.text, rest.action, rest.exchange)
        else:
            await self._act(rest.action)

    async def _speak(
        self, prepared: PreparedReply, turn: TurnRecord, exchange: Exchange, question: Question | None = None
    ) -> None:
        self._idle.stop()
        self._interrupted.rest = None
        await self._speaking.begin(Utterance(prepared, turn, exchange, question or Question()))

    async def _stop_speaking(self) -> None:
        """The caller interrupts: what is under way ends here."""
        for utterance in await self._speaking.interrupt():
            self._interrupted.note(utterance)
        self._preparation.drop()

    # What the caller heard

    async def _note_over(self, frame: SpeechOverFrame) -> None:
        utterance = self._speaking.note_over(frame)
        if utterance is None:
            return
        if frame.interrupted:
            metrics.BARGE_INS.inc()
            self._interrupted.note(utterance)
        elif not utterance.followed:
            await self._act(utterance.prepared.action)

    async def _act(self, action: Action) -> None:
        match action:
            case Action.LISTEN:
                if not self._held and not self._leaving.under_way:
                    self._idle.start()
            case Action.HANG_UP:
                await self._leaving.hang_up(EndReason.IDLE if self._idle_prompts else EndReason.AGENT_HUNG_UP)
            case Action.TRANSFER:
                self._leaving.transfer(self._settings.transfer_target)

    async def _tell_transfer_failed(self) -> None:
        await self._say(self._settings.no_transfer_message)

    # Silence, keys, hold, outages

    async def _prompt_idle_caller(self) -> None:
        self._idle_prompts += 1
        if self._idle_prompts > self._settings.idle_prompts:
            await self._say(self._settings.goodbye_message, Action.HANG_UP)
        else:
            await self._say(self._settings.idle_prompt)

    async def _note_key(self, key: str) -> None:
        self._idle.stop()
        await self._fall_silent()
        self._keys.press(key)

    async def _fall_silent(self) -> None:
        if self._speaking:
            self._speaking.hush()
            await self.broadcast_interruption()
            await self._stop_speaking()

    async def _answer_keys(self, keys: str) -> None:
        if keys:
            question = Question(keys=keys)
            await self._answer(question, self._record.begin_turn(heard=question.heard))
        elif not self._speaking:
            self._idle.start()

    async def _note_hold(self, held: bool) -> None:
        self._held = held
        if held:
            self._idle.stop()
            await self._fall_silent()
        elif self._interrupted.rest is not None:
            await self._go_on(self._interrupted.rest)
        elif self._interrupted.question and not self._caller_speaking:
            question = self._interrupted.question
            await self._answer(question, self._record.begin_turn(heard=question.heard))
        elif not self._speaking:
            self._idle.start()

    async def _apologise_for_recognition(self) -> None:
        metrics.PROVIDER_FAILURES.labels("asr").inc()
        if self._speaking.pending:
            # What the caller waits for was understood, and is on its way.
            return
        await self._say(self._settings.apology_message)

    async def _give_up_recognition(self) -> None:
        await self._leg.hang_up(EndReason.ERROR)
