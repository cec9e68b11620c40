"""One provider in a list of which each takes over from the one before it, and whom to try, in which order."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from core.errors import ProviderError
from core.observability import metrics
from core.providers.breaker import CircuitBreaker, reason_of

log = logging.getLogger(__name__)


class Provider(Protocol):
    """What the providers of all stages have in common."""

    name: str

    @property
    def ready(self) -> bool: ...


P = TypeVar("P", bound=Provider)


@dataclass(frozen=True, slots=True)
class Member(Generic[P]):
    """A provider and what is known of its health. Both may be shared by several lists."""

    provider: P
    breaker: CircuitBreaker

    @property
    def usable(self) -> bool:
        """Whether it is worth a request: a service that is not ready is left out like one that failed."""
        return self.provider.ready and self.breaker.allows()


class Candidates(Generic[P]):
    """Whom to try for one request, each once: those that are usable, in order, and then the others all the same."""

    def __init__(self, members: Sequence[Member[P]]) -> None:
        self._left = list(members)

    def next(self) -> Member[P] | None:
        """The next one, as things stand now; None when all were tried."""
        member = next((each for each in self._left if each.usable), self._left[0] if self._left else None)
        if member is not None:
            self._left.remove(member)
        return member

    @property
    def replaceable(self) -> bool:
        """Whether a usable one is left: else whoever was asked last is waited for, however slow."""
        return any(member.usable for member in self._left)


def note_takeover(stage: str, error: ProviderError, failed: Member[P], successor: Member[P]) -> None:
    """Tells operators that one provider goes on with what another began."""
    from_name, to_name, reason = failed.provider.name, successor.provider.name, reason_of(error)
    metrics.TAKEOVERS.labels(stage, from_name, to_name, reason).inc()
    log.warning(
        "provider takes over",
        extra={"stage": stage, "provider": to_name, "failed": from_name, "reason": reason, "error": str(error)},
    )
