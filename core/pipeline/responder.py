"""Answers the caller's turns: prepares replies while they speak, lets them be heard once the turn is over."""

import asyncio
import logging
import time
from dataclasses import dataclass

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

from core.dialogue.conversation import Exchange
from core.dialogue.dialogue import Action, Dialogue, Reply
from core.errors import CallEnded, TransferFailed
from core.leg import CallLeg, EndReason
from core.observability import metrics
from core.observability.call_record import CallRecord, TurnRecord
from core.observability.spans import record_turn
from core.pipeline.frames import (
    DigitFrame,
    HoldFrame,
    RecognitionFrame,
    SpeechEndFrame,
    SpeechFrame,
    SpeechOverFrame,
    SpeechStartedFrame,
    TurnEndedFrame,
)
from core.pipeline.idle import IdleTimer
from core.pipeline.keys import KeyCollector
from core.pipeline.outage import Outage
from core.pipeline.reply_audio import PreparedReply, ReplyMaker
from core.providers.base import Transcript

log = logging.getLogger(__name__)


class _Utterance:
    """What the agent is saying now.

    Attributes:
        sent: something of it was handed on to be played.
        started: the caller hears it.
        followed: the agent says something else after it.
    """

    def __init__(self, prepared: PreparedReply, turn: TurnRecord, exchange: Exchange) -> None:
        self.prepared = prepared
        self.turn = turn
        self.exchange = exchange
        self.spoken_before = exchange.spoken
        self.sent = False
        self.started = False
        self.followed = False
        self.sender: asyncio.Task[None] | None = None

    def hush(self) -> None:
        """Hands on nothing more, from this moment."""
        if self.sender is not None:
            self.sender.cancel()


@dataclass(frozen=True, slots=True)
class _Rest:
    """What an interruption kept from the caller: words, and what was to follow them."""

    text: str
    action: Action
    exchange: Exchange


class Responder(FrameProcessor):
    """The agent's side of the conversation."""

    def __init__(self, leg: CallLeg, dialogue: Dialogue, maker: ReplyMaker, record: CallRecord) -> None:
        super().__init__()
        self._leg = leg
        self._dialogue = dialogue
        self._settings = dialogue.settings
        self._maker = maker
        self._record = record
        self._utterances: dict[int, _Utterance] = {}
        self._last_id = 0
        self._prepared: PreparedReply | None = None
        self._caller_speaking = False
        self._unanswered = ""
        self._rest: _Rest | None = None
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
                self._hush()
                # The silence does not wait for the providers to stop.
                await self.push_frame(frame, direction)
                await self._stop_speaking()
                return
            case InterimTranscriptionFrame(text=text, result=Transcript(is_stable=True)):
                await self._prepare(text)
            case TranscriptionFrame(text=text, result=result):
                await self._answer_turn(text, result)
            case UserStartedSpeakingFrame():
                self._caller_speaking = True
                self._idle.stop()
            case UserStoppedSpeakingFrame():
                self._caller_speaking = False
            case TurnEndedFrame():
                self._turn_ended = frame
            case SpeechStartedFrame(utterance_id=utterance_id, started_at_s=started_at_s):
                self._note_started(utterance_id, started_at_s)
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
        await self._drop_prepared()
        for utterance in list(self._utterances.values()):
            await self._cancel(utterance)
        self._utterances.clear()

    # What the caller says

    async def _prepare(self, text: str) -> None:
        """Begins the reply to what may be all that the caller says."""
        heard = f"{self._unanswered} {text}".strip()
        if self._prepared is not None and self._prepared.heard == heard:
            return
        await self._drop_prepared()
        self._prepared = PreparedReply(heard, self._dialogue.reply(heard), self._maker)

    async def _answer_turn(self, text: str, result: object) -> None:
        ended, self._turn_ended = self._turn_ended, None
        heard = f"{self._unanswered} {text}".strip()
        if not heard:
            await self._answer_nothing(result)
            return
        if self._caller_speaking or (self._prepared is not None and self._prepared.heard != heard):
            await self._drop_prepared()
        if self._caller_speaking:
            # They went on before this transcript was there: the rest belongs to it.
            self._unanswered = heard
            return
        turn = self._record.begin_turn(heard=heard, recognised_s=time.monotonic())
        if ended is not None:
            turn.silent_since_s, turn.decided_s = ended.silent_since_s, ended.decided_at_s
        await self._answer(heard, turn)

    async def _answer(self, heard: str, turn: TurnRecord) -> None:
        self._unanswered = ""
        self._idle_prompts = 0
        prepared, self._prepared = self._prepared, None
        prepared = prepared or PreparedReply(heard, self._dialogue.reply(heard), self._maker)
        await self._speak(prepared, turn, self._dialogue.conversation.begin(heard))

    async def _answer_nothing(self, result: object) -> None:
        """A turn without words: a noise, or a recogniser that is away. What it interrupted goes on."""
        await self._drop_prepared()
        reason = result.rejected_reason if isinstance(result, Transcript) else ""
        log.info("turn without words", extra={"reason": reason, "goes_on": self._rest is not None})
        if self._rest is not None:
            metrics.FALSE_BARGE_INS.inc()
            await self._go_on(self._rest)
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

    async def _go_on(self, rest: _Rest) -> None:
        """Says the rest of what was interrupted, and does what was to follow."""
        self._rest = None
        if rest.text:
            await self._say(rest.text, rest.action, rest.exchange)
        else:
            await self._act(rest.action)

    async def _speak(self, prepared: PreparedReply, turn: TurnRecord, exchange: Exchange) -> None:
        self._idle.stop()
        self._rest = None
        others = dict(self._utterances)
        for other_id, other in others.items():
            other.hush()
            other.followed = True
            if not other.sent:
                del self._utterances[other_id]
        self._last_id += 1
        turn.source = prepared.reply.source
        utterance = _Utterance(prepared, turn, exchange)
        self._utterances[self._last_id] = utterance
        utterance.sender = self.create_task(self._send(self._last_id, utterance))
        for other in others.values():
            await self._cancel(other)

    async def _send(self, utterance_id: int, utterance: _Utterance) -> None:
        await self._fill_the_wait(utterance_id, utterance)
        said: list[str] = []
        async for piece in utterance.prepared.pieces():
            if piece.text:
                said.append(piece.text)
                utterance.turn.said = " ".join(said)
            utterance.sent = True
            await self.push_frame(
                SpeechFrame(piece.pcm, self._maker.sample_rate_hz, 1, utterance_id=utterance_id, text=piece.text)
            )
        utterance.turn.answered_s = utterance.prepared.times.answered_s
        utterance.turn.synthesised_s = utterance.prepared.times.synthesised_s
        await self.push_frame(SpeechEndFrame(utterance_id=utterance_id))

    async def _fill_the_wait(self, utterance_id: int, utterance: _Utterance) -> None:
        """Says that it takes a moment, where the answer is slow to come."""
        filler = self._maker.fixed(self._settings.filler_message)
        if filler is None or not utterance.exchange.heard:
            return
        try:
            async with asyncio.timeout(self._settings.filler_after_ms / 1000):
                await utterance.prepared.first_piece()
        except TimeoutError:
            utterance.sent = True
            await self.push_frame(SpeechFrame(filler.pcm, self._maker.sample_rate_hz, 1, utterance_id=utterance_id))

    def _hush(self) -> None:
        for utterance in self._utterances.values():
            utterance.hush()
            utterance.turn.interrupted = True
            utterance.turn.interrupted_at = time.time()

    async def _stop_speaking(self) -> None:
        """The caller interrupts: what is under way ends here; `LegOutput` then reports how far it was heard."""
        for utterance_id, utterance in list(self._utterances.items()):
            if not utterance.started:
                del self._utterances[utterance_id]
                self._note_cut_short(utterance, utterance.prepared.reply.text or "")
            await self._cancel(utterance)
        await self._drop_prepared()

    def _note_cut_short(self, utterance: _Utterance, remainder: str) -> None:
        exchange, action = utterance.exchange, utterance.prepared.reply.action
        if exchange.heard and not exchange.spoken:
            # Nothing of the answer was heard: the question still stands, and what follows belongs to it.
            self._unanswered = exchange.heard
            if exchange in self._dialogue.conversation.exchanges:
                self._dialogue.conversation.exchanges.remove(exchange)
        elif remainder or action is not Action.LISTEN:
            self._rest = _Rest(remainder, action, exchange)

    async def _cancel(self, utterance: _Utterance) -> None:
        if utterance.sender is not None:
            await self.cancel_task(utterance.sender)
            utterance.sender = None
        await utterance.prepared.cancel()

    async def _drop_prepared(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared.cancel()

    # What the caller heard

    def _note_started(self, utterance_id: int, started_at_s: float) -> None:
        utterance = self._utterances.get(utterance_id)
        if utterance is None:
            return
        utterance.started = True
        turn = utterance.turn
        turn.started_s = started_at_s
        turn.answered_s = utterance.prepared.times.answered_s
        turn.synthesised_s = utterance.prepared.times.synthesised_s
        record_turn(turn)
        if turn.voice_to_voice_ms is not None:
            metrics.TURN_SECONDS.labels(turn.source).observe(turn.voice_to_voice_ms / 1000)
            for stage, spent_ms in turn.stages_ms().items():
                if stage != "total":
                    metrics.STAGE_SECONDS.labels(stage).observe(spent_ms / 1000)

    async def _note_over(self, frame: SpeechOverFrame) -> None:
        utterance = self._utterances.pop(frame.utterance_id, None)
        if utterance is None:
            return
        utterance.turn.spoken = frame.spoken
        utterance.exchange.spoken = f"{utterance.spoken_before} {frame.spoken}".strip()
        if frame.interrupted:
            metrics.BARGE_INS.inc()
            self._note_cut_short(utterance, frame.remainder)
        elif not utterance.followed:
            await self._act(utterance.prepared.reply.action)

    async def _act(self, action: Action) -> None:
        match action:
            case Action.LISTEN:
                if not self._held:
                    self._idle.start()
            case Action.HANG_UP:
                reason = EndReason.IDLE if self._idle_prompts else EndReason.AGENT_HUNG_UP
                await self._leg.hang_up(reason)
            case Action.TRANSFER:
                try:
                    await self._leg.transfer(self._settings.transfer_target)
                except TransferFailed as error:
                    log.warning("transfer failed", extra={"error": str(error)})
                    await self._say(self._settings.no_transfer_message)
                except CallEnded:
                    log.debug("the call ended before its transfer")

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
        if self._utterances:
            self._hush()
            await self.broadcast_interruption()
            await self._stop_speaking()

    async def _answer_keys(self, keys: str) -> None:
        if not keys:
            self._idle.start()
            return
        heard = f"[{keys}]"
        self._unanswered = ""
        self._idle_prompts = 0
        turn = self._record.begin_turn(heard=heard)
        prepared = PreparedReply(heard, self._dialogue.reply_to_digits(keys), self._maker)
        await self._speak(prepared, turn, self._dialogue.conversation.begin(heard))

    async def _note_hold(self, held: bool) -> None:
        self._held = held
        if held:
            self._idle.stop()
            await self._fall_silent()
        elif self._rest is not None:
            await self._go_on(self._rest)
        elif self._unanswered and not self._caller_speaking:
            await self._answer(self._unanswered, self._record.begin_turn(heard=self._unanswered))
        elif not self._utterances:
            self._idle.start()

    async def _apologise_for_recognition(self) -> None:
        metrics.PROVIDER_FAILURES.labels("asr").inc()
        if any(not utterance.started for utterance in self._utterances.values()):
            # What the caller waits for was understood, and is on its way.
            return
        await self._say(self._settings.apology_message)

    async def _give_up_recognition(self) -> None:
        await self._leg.hang_up(EndReason.ERROR)
