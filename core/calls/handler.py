"""Runs one call: admission, answer, conversation, and the line that sums it up."""

import asyncio
import dataclasses
import logging
import time

from core.calls.agent import Agent, Agents
from core.calls.registry import ActiveCall, CallRegistry
from core.calls.settings import CallSettings
from core.errors import CallEnded, CallRefused, SignallingError
from core.leg import CallLeg, EndReason, LegEnded
from core.observability import metrics
from core.observability.call_record import CallRecord
from core.observability.spans import call_span
from services.common import correlation

log = logging.getLogger(__name__)


class CallRunner:
    """Takes each call a transport offers, and sees it through."""

    def __init__(self, registry: CallRegistry, agents: Agents, settings: CallSettings) -> None:
        self._registry = registry
        self._agents = agents
        self._settings = settings

    async def handle(self, leg: CallLeg) -> None:
        """The `CallHandler` that transports are given. A call's failure ends that call, and nothing else."""
        token = correlation.call_id.set(leg.info.call_id)
        try:
            with self._registry.admitted(leg) as call, call_span(leg.info.call_id, leg.info.transport):
                agent = self._agents.choose(leg.info)
                lease = agent.lease.share()
                try:
                    await self._run(call, agent)
                finally:
                    await lease.release()
        except CallRefused as refusal:
            log.warning("call refused", extra={"status": refusal.sip_status, "reason": refusal.reason})
            metrics.CALLS_REFUSED.labels(leg.info.transport, refusal.sip_status).inc()
            await leg.reject(refusal)
        finally:
            correlation.call_id.reset(token)

    async def _run(self, call: ActiveCall, agent: Agent) -> None:
        record = call.record
        record.agent = agent.name
        record.providers = agent.lease.serving()
        ended = LegEnded(EndReason.ERROR)
        try:
            await call.leg.answer()
            ended = await self._converse(call, agent)
        except CallRefused:
            record.ended_at = time.time()
            record.end_reason = "refused"
            raise
        except CallEnded:
            ended = await self._reason_of(call.leg)
        except SignallingError as error:
            ended = LegEnded(EndReason.SIGNALLING_LOST, str(error))
        except asyncio.CancelledError:
            ended = LegEnded(EndReason.DRAINED)
            raise
        except Exception as error:
            log.exception("call failed")
            ended = LegEnded(EndReason.ERROR, type(error).__name__)
        finally:
            if record.end_reason is None:
                await call.leg.hang_up(ended.reason)
                self._sum_up(call, ended)
                # Last, for it waits for the model's service, and the caller should not.
                await agent.conversations.providers.generator.end_session(record.call_id)

    async def _converse(self, call: ActiveCall, agent: Agent) -> LegEnded:
        dialogue = agent.make_dialogue()
        allowed = asyncio.timeout(self._settings.session_timeout_minutes * 60)
        try:
            async with allowed:
                return await agent.conversations.run(call.leg, dialogue, call.record, agent.phrases)
        except TimeoutError:
            if not allowed.expired():
                raise
            await agent.conversations.say_goodbye(call.leg, dialogue)
            return LegEnded(EndReason.SESSION_TIMEOUT)

    async def _reason_of(self, leg: CallLeg) -> LegEnded:
        event = await leg.receive()
        return event if isinstance(event, LegEnded) else LegEnded(EndReason.CALLER_HUNG_UP)

    def _sum_up(self, call: ActiveCall, ended: LegEnded) -> None:
        record = call.record
        statistics = call.leg.statistics()
        record.ended_at = time.time()
        record.end_reason = ended.reason.value
        record.media = {name: round(value, 2) for name, value in dataclasses.asdict(statistics).items()}
        metrics.CALLS.labels(record.transport, record.end_reason).inc()
        metrics.CALL_SECONDS.observe(record.duration_s)
        metrics.PACKETS_LOST.inc(statistics.packets_lost)
        if statistics.mos:
            metrics.MOS.observe(statistics.mos)
        log.info("call ended", extra=_summary(record, ended.detail))


def _summary(record: CallRecord, detail: str) -> dict[str, object]:
    """The one line an operator reads first."""
    waits_ms = sorted(turn.voice_to_voice_ms for turn in record.turns if turn.voice_to_voice_ms is not None)
    return {
        "reason": record.end_reason,
        "detail": detail,
        "agent": record.agent,
        "duration_s": round(record.duration_s, 1),
        "turns": len(waits_ms),
        "interrupted": sum(turn.interrupted for turn in record.turns),
        "voice_to_voice_p50_ms": round(waits_ms[len(waits_ms) // 2]) if waits_ms else None,
        "voice_to_voice_max_ms": round(waits_ms[-1]) if waits_ms else None,
        **record.media,
    }
