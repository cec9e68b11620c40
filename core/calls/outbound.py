"""Calls that we place: to whom, how many, and through which transport. Everything not allowed is refused."""

import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.calls.call_rate import CallRate
from core.calls.dialled import dialled
from core.calls.registry import CallRegistry
from core.calls.settings import OutboundSettings
from core.errors import CallRefused, OutboundRefused, SignallingError, SignallingRefused, SignallingTimeout
from core.observability import metrics
from core.observability.numbers import masked
from services.common.settings import ConfigurationError

log = logging.getLogger(__name__)

MAX_PARAMETERS = 16
MAX_PARAMETERS_BYTES = 1024
_PARAMETER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@runtime_checkable
class Dialler(Protocol):
    """A transport that can place calls."""

    async def place(self, called: str, caller: str, parameters: Mapping[str, str]) -> str:
        """Calls a number from one of ours; returns the `call_id` with which the call comes in once it is answered.

        Raises:
            ValueError: that is no number it can call.
            SignallingError: it was not placed; or, after a timeout, perhaps it was.
        """


@dataclass(frozen=True, slots=True)
class OutboundResult:
    """A call that was placed: it rings now, and may never be answered."""

    call_id: str
    transport: str


@dataclass(slots=True)
class _Placement:
    """A call that holds one of the places. `call_id` is "" until the transport has named it, which it may never do."""

    number: str
    placed_at_s: float
    call_id: str = ""
    came_in: bool = False


class OutboundCalls:
    """Places calls within what the settings allow. For use on one event loop; the limits are this process' own."""

    def __init__(
        self,
        settings: OutboundSettings,
        diallers: Mapping[str, Dialler],
        registry: CallRegistry,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Raises:
            ConfigurationError: calls are to be placed through a transport that is not there, or cannot.
        """
        if settings.enabled and settings.transport not in diallers:
            able = ", ".join(sorted(diallers)) or "none"
            raise ConfigurationError(
                [f"outbound.transport: {settings.transport!r} cannot place calls; of those enabled, {able} can"]
            )
        self._settings = settings
        self._diallers = diallers
        self._registry = registry
        self._now_s = now_s
        self._allowed = [re.compile(pattern) for pattern in settings.allow]
        self._rate = CallRate(settings.max_per_minute, settings.max_per_hour, settings.max_per_hour_to_one)
        self._placements: list[_Placement] = []

    async def place(self, called: str, parameters: Mapping[str, str]) -> OutboundResult:
        """Calls a number; returns while it rings.

        Raises:
            OutboundRefused: 400 no number, or impossible parameters; 403 not allowed; 409 that number is being called;
                429 too many, 503 too busy, both with a time; 502, 504 the transport failed.
        """
        transport = self._settings.transport
        shown = ""
        try:
            number = self._checked(called, parameters)
            shown = masked(number)
            self._check_allowed(number)
            self._check_limits(number)
            call_id = await self._dial(self._diallers[transport], number, parameters)
        except OutboundRefused as refusal:
            metrics.OUTBOUND_CALLS.labels(transport, refusal.http_status).inc()
            fields = {"to": shown, "status": refusal.http_status, "reason": refusal.reason}
            log.warning("outbound call refused", extra=fields)
            raise
        metrics.OUTBOUND_CALLS.labels(transport, "placed").inc()
        log.info("outbound call placed", extra={"to": shown, "transport": transport, "placed_call_id": call_id})
        return OutboundResult(call_id, transport)

    def call_over(self, call_id: str) -> None:
        """A call that was perhaps ours has ended, whether or not it was answered: its place is free."""
        self._placements = [each for each in self._placements if each.call_id != call_id]

    def _checked(self, called: str, parameters: Mapping[str, str]) -> str:
        if not self._settings.enabled:
            raise OutboundRefused(403, "calls are not placed here: [outbound] enabled")
        try:
            number = dialled(called)
        except ValueError as error:
            raise OutboundRefused(400, str(error)) from error
        size_bytes = sum(len(text.encode(errors="replace")) for pair in parameters.items() for text in pair)
        if len(parameters) > MAX_PARAMETERS or size_bytes > MAX_PARAMETERS_BYTES:
            limit = f"{MAX_PARAMETERS} parameters of {MAX_PARAMETERS_BYTES} bytes in all"
            raise OutboundRefused(400, f"no more than {limit} can be passed along")
        for name, value in parameters.items():
            if not _PARAMETER_NAME.fullmatch(name) or not value.isprintable():
                raise OutboundRefused(400, "parameters have names such as order_id, and printable values")
        return number

    def _check_allowed(self, number: str) -> None:
        if not any(pattern.fullmatch(number) for pattern in self._allowed):
            raise OutboundRefused(403, "this number may not be called: [outbound] allow")

    def _check_limits(self, number: str) -> None:
        now_s = self._now_s()
        self._placements = [each for each in self._placements if not self._is_over(each, now_s)]
        if any(each.number == number for each in self._placements):
            raise OutboundRefused(409, "this number is being called already")
        if len(self._placements) >= self._settings.max_concurrent:
            raise OutboundRefused(429, "as many calls as allowed are up", retry_after_s=10)
        wait_s = self._rate.wait_s(number, now_s)
        if wait_s > 0:
            raise OutboundRefused(429, "too many calls of late", math.ceil(wait_s))
        try:
            self._registry.check_limits()
        except CallRefused as refusal:
            raise OutboundRefused(503, refusal.reason, refusal.retry_after_s) from refusal

    async def _dial(self, dialler: Dialler, number: str, parameters: Mapping[str, str]) -> str:
        # Counted before it is placed: whoever asks meanwhile finds the place taken.
        now_s = self._now_s()
        placement = _Placement(number, now_s)
        self._placements.append(placement)
        self._rate.count(number, now_s)
        try:
            placement.call_id = await dialler.place(number, self._settings.caller, parameters)
        except (ValueError, SignallingError) as error:
            if isinstance(error, ValueError | SignallingRefused):
                # Any other failure leaves open whether the phone rings.
                self._placements.remove(placement)
            raise _as_refusal(error) from error
        return placement.call_id

    def _is_over(self, placement: _Placement, now_s: float) -> bool:
        record = self._registry.record(placement.call_id) if placement.call_id else None
        if record is not None:
            placement.came_in = True
            return record.ended_at is not None
        # It was forgotten meanwhile, or it has not come in in time.
        return placement.came_in or now_s - placement.placed_at_s >= self._settings.unanswered_after_s


def _as_refusal(error: ValueError | SignallingError) -> OutboundRefused:
    if isinstance(error, ValueError):
        return OutboundRefused(400, "the transport cannot call this number")
    if isinstance(error, SignallingTimeout):
        return OutboundRefused(504, "the transport did not answer in time: whether the phone rings is not known")
    return OutboundRefused(502, f"the transport did not place it: {error}")
