"""What the agent is saying now, from its first piece to what the caller heard of it."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pipecat.processors.frame_processor import FrameProcessor

from core.dialogue.conversation import Exchange
from core.observability import metrics
from core.observability.call_record import TurnRecord
from core.observability.spans import record_turn
from core.pipeline.frames import Clause, SendDigitsFrame, SpeechEndFrame, SpeechFrame, SpeechOverFrame
from core.pipeline.question import Question
from core.pipeline.reply_audio import Piece, PreparedReply, ReplyMaker

# Who waits longer than that is told so again, until the answer or the apology comes.
FILLER_EVERY_S = 5.0


class Utterance:
    """Something that the agent says.

    Attributes:
        question: what it answers; says nothing where the agent speaks of its own accord.
        clauses: what of it was handed on.
        sent: something of it was handed on to be played.
        started: the caller hears it.
        followed: the agent says something else after it.
        filled_at_s: monotonic time at which the caller was last told to wait.
    """

    def __init__(self, prepared: PreparedReply, turn: TurnRecord, exchange: Exchange, question: Question) -> None:
        self.prepared = prepared
        self.turn = turn
        self.exchange = exchange
        self.question = question
        self.clauses: list[Clause] = []
        self.spoken_before = exchange.spoken
        self.sent = False
        self.started = False
        self.followed = False
        self.filled_at_s = -math.inf
        self.sender: asyncio.Task[None] | None = None

    @property
    def spoken(self) -> str:
        """The words that the caller heard, once it is over."""
        return " ".join(clause.heard for clause in self.clauses if clause.heard)

    @property
    def remainder(self) -> str:
        """The words that they did not hear, as far as they were known."""
        unheard = [clause.unheard for clause in self.clauses]
        unheard += self.prepared.texts_behind(self.clauses[-1].text if self.clauses else "")
        return " ".join(filter(None, unheard))

    def hush(self) -> None:
        """Hands on nothing more, from this moment."""
        if self.sender is not None:
            self.sender.cancel()


class Speaking:
    """Hands the agent's utterances on as frames of `processor`, and follows them until they are over."""

    def __init__(self, processor: FrameProcessor, maker: ReplyMaker) -> None:
        self._processor = processor
        self._maker = maker
        self._utterances: dict[int, Utterance] = {}
        self._last_id = 0
        # The monotonic time at which what was handed on will have been played.
        self._heard_until_s = 0.0

    def __bool__(self) -> bool:
        """Whether something is being said, or about to be."""
        return bool(self._utterances)

    @property
    def pending(self) -> bool:
        """Whether the caller waits for something of it."""
        return any(not utterance.started for utterance in self._utterances.values())

    async def begin(self, utterance: Utterance) -> None:
        """Says it, in the place of what was being said: of that, only what was handed on is still heard."""
        others = dict(self._utterances)
        for other_id, other in others.items():
            other.hush()
            other.followed = True
            if not other.sent:
                del self._utterances[other_id]
        self._last_id += 1
        utterance.turn.source = utterance.prepared.reply.source
        self._utterances[self._last_id] = utterance
        utterance.sender = self._processor.create_task(self._send(self._last_id, utterance))
        for other in others.values():
            await self._cancel(other)

    def hush(self) -> None:
        """The caller interrupts: hands on nothing more, from this moment."""
        self._heard_until_s = 0.0
        for utterance in self._utterances.values():
            utterance.hush()
            utterance.turn.interrupted = True
            utterance.turn.interrupted_at = time.time()

    async def interrupt(self) -> list[Utterance]:
        """Ends what is under way. Returns what was not heard at all; `LegOutput` reports on the rest."""
        unheard: list[Utterance] = []
        for utterance_id, utterance in list(self._utterances.items()):
            if not utterance.started:
                del self._utterances[utterance_id]
                unheard.append(utterance)
            await self._cancel(utterance)
        return unheard

    async def stop(self) -> None:
        for utterance in list(self._utterances.values()):
            await self._cancel(utterance)
        self._utterances.clear()

    def note_started(self, utterance_id: int, started_at_s: float) -> None:
        """The caller hears the first of it."""
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

    def note_over(self, frame: SpeechOverFrame) -> Utterance | None:
        """The caller has heard all they will of it; None where it is over already."""
        utterance = self._utterances.pop(frame.utterance_id, None)
        if utterance is not None:
            utterance.turn.spoken = utterance.spoken
            utterance.exchange.spoken = f"{utterance.spoken_before} {utterance.spoken}".strip()
        return utterance

    async def _send(self, utterance_id: int, utterance: Utterance) -> None:
        self._heard_until_s = max(self._heard_until_s, time.monotonic())
        async with aclosing(utterance.prepared.pieces()) as pieces:
            while (piece := await self._next(utterance_id, utterance, pieces)) is not None:
                if piece.keys is not None:
                    await self._processor.push_frame(SendDigitsFrame(keys=piece.keys))
                    continue
                if piece.text or not utterance.clauses:
                    utterance.clauses.append(Clause(piece.text))
                    utterance.turn.said = " ".join(clause.text for clause in utterance.clauses)
                utterance.clauses[-1].whole = piece.ends
                if piece.pcm:
                    await self._push(utterance_id, utterance, piece.pcm, utterance.clauses[-1])
        utterance.turn.answered_s = utterance.prepared.times.answered_s
        utterance.turn.synthesised_s = utterance.prepared.times.synthesised_s
        await self._processor.push_frame(SpeechEndFrame(utterance_id=utterance_id))

    async def _next(self, utterance_id: int, utterance: Utterance, pieces: AsyncGenerator[Piece, None]) -> Piece | None:
        """The next piece; None at the end. Where the caller hears nothing meanwhile, they are told to wait."""
        coming = asyncio.ensure_future(anext(pieces, None))
        try:
            while not coming.done():
                filler = self._filler(utterance)
                due_s = max(
                    self._heard_until_s + self._maker.settings.filler_after_ms / 1000,
                    utterance.filled_at_s + FILLER_EVERY_S,
                )
                wait_s = max(0.0, due_s - time.monotonic())
                done, _ = await asyncio.wait({coming}, timeout=wait_s if filler is not None else None)
                if filler is not None and not done:
                    utterance.filled_at_s = time.monotonic()
                    await self._push(utterance_id, utterance, filler.pcm, None)
            return coming.result()
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})

    def _filler(self, utterance: Utterance) -> Piece | None:
        """What is said while the caller waits for an answer, or for more of what they already hear."""
        if not utterance.exchange.heard and not utterance.sent:
            return None
        return self._maker.fixed(self._maker.settings.filler_message)

    async def _push(self, utterance_id: int, utterance: Utterance, pcm: bytes, clause: Clause | None) -> None:
        rate_hz = self._maker.sample_rate_hz
        utterance.sent = True
        length_s = len(pcm) / 2 / rate_hz
        self._heard_until_s = max(self._heard_until_s, time.monotonic()) + length_s
        if clause is not None:
            clause.made_ms += length_s * 1000
        await self._processor.push_frame(SpeechFrame(pcm, rate_hz, 1, utterance_id=utterance_id, clause=clause))

    async def _cancel(self, utterance: Utterance) -> None:
        if utterance.sender is not None:
            await self._processor.cancel_task(utterance.sender)
            utterance.sender = None
        utterance.prepared.cancel()
