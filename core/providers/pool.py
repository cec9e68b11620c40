"""Single providers, shared by every agent and configuration that asks for the same, closed with their last lease."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from core.providers import registry
from core.providers.asr.fallback import FallbackRecognizer
from core.providers.base import Providers
from core.providers.breaker import CircuitBreaker
from core.providers.llm.fallback import FallbackGenerator
from core.providers.member import Candidates, Member
from core.providers.settings import AsrSettings, LlmSettings, ServiceSettings, TtsSettings
from core.providers.tts.fallback import FallbackSynthesizer
from services.common.settings import Section

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
# Keys of a stage that are for whoever uses a provider, who may change them without another provider.
# It is built with their defaults, so that none can come to depend on them.
USERS_KEYS = frozenset(
    "provider budget_ms breaker_failures breaker_retry_s phrases max_tokens temperature top_p".split()
)
_FALLBACKS: dict[type[ServiceSettings], Any] = {
    AsrSettings: FallbackRecognizer,
    LlmSettings: FallbackGenerator,
    TtsSettings: FallbackSynthesizer,
}


@dataclass(eq=False, slots=True)
class _Shared:
    """One provider, what it was built from, and how many leases hold it."""

    name: str
    stage: ServiceSettings
    own: Section | None
    provider: Any
    holders: int = 0
    breakers: dict[tuple[int, float], CircuitBreaker] = field(default_factory=dict)

    def member(self, stage: ServiceSettings) -> Member[Any]:
        """With the breaker of all who want one that breaks alike."""
        wanted = stage.breaker_failures, stage.breaker_retry_s
        if wanted not in self.breakers:
            self.breakers[wanted] = CircuitBreaker(stage.section, self.name, *wanted)
        return Member(self.provider, self.breakers[wanted])


class Lease:
    """A share in the providers of a conversation: they stay open until it is released."""

    def __init__(
        self,
        providers: Providers,
        pool: "ProviderPool | None" = None,
        shared: Sequence[_Shared] = (),
        members: Mapping[str, Sequence[Member[Any]]] | None = None,
    ) -> None:
        self.providers = providers
        self._pool = pool
        self._shared = shared
        self._members = members or {}
        self._released = False
        for each in shared:
            each.holders += 1

    def members(self, stage: type[ServiceSettings]) -> tuple[object, ...]:
        """The single providers of a stage, in order: leases that have the same ones there are served alike."""
        return tuple(member.provider for member in self._members.get(stage.section, ()))

    def serving(self) -> dict[str, str]:
        """Stage -> the name of the provider that would serve it now."""
        names = self.providers.names()
        for stage, members in self._members.items():
            member = Candidates(members).next()
            if member is not None:
                names[stage] = member.provider.name
        return names

    def share(self) -> "Lease":
        """One more lease on the same providers; this one must not have been released."""
        assert not self._released
        return Lease(self.providers, self._pool, self._shared, self._members)

    async def release(self) -> None:
        """Closes what nobody holds any more. Harmless when repeated."""
        closing = self.let_go()
        if closing:
            # What was begun is done, whoever stops waiting.
            await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)

    def let_go(self) -> Sequence[asyncio.Task[None]]:
        """The same without waiting: the tasks in which the pool closes what nobody holds any more."""
        if self._released or self._pool is None:
            return ()
        self._released = True
        for each in self._shared:
            each.holders -= 1
        return self._pool.close_unheld()


class ProviderPool:
    """For use on one event loop, which must run."""

    def __init__(self) -> None:
        self._open: list[_Shared] = []
        self._closing: set[asyncio.Task[None]] = set()

    def lease(self, settings: Mapping[type[Section], Section]) -> Lease:
        """The providers that the settings name: those that are there already, the others built now.

        Raises:
            ConfigurationError: a name is not known, a library is not installed, or a provider cannot be set up so.
        """
        stages = [cast(ServiceSettings, settings[stage]) for stage in registry.STAGES]
        registry.check(*stages)
        found: list[list[_Shared]] = []
        try:
            for stage in stages:
                found.append([self._find(stage, name, settings) for name in dict.fromkeys(stage.provider)])
        except BaseException:
            self.close_unheld()
            raise
        members = [[each.member(stage) for each in shared] for stage, shared in zip(stages, found, strict=True)]
        providers = Providers(*(_composed(stage, each) for stage, each in zip(stages, members, strict=True)))
        by_stage = {stage.section: each for stage, each in zip(stages, members, strict=True)}
        return Lease(providers, self, [shared for of_stage in found for shared in of_stage], by_stage)

    def leases(self, agents: Sequence[Mapping[type[Section], Section]]) -> list[Lease]:
        """A lease for each, or, where one cannot be had, none.

        Raises:
            ConfigurationError: as `lease`.
        """
        leases: list[Lease] = []
        try:
            for each in agents:
                leases.append(self.lease(each))
        except BaseException:
            for lease in leases:
                lease.let_go()
            raise
        return leases

    def close_unheld(self) -> list[asyncio.Task[None]]:
        """Begins to close what no lease holds."""
        unheld = [each for each in self._open if each.holders <= 0]
        self._open = [each for each in self._open if each.holders > 0]
        tasks = [asyncio.get_running_loop().create_task(_close(each), name=f"close:{each.name}") for each in unheld]
        for task in tasks:
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return tasks

    async def close(self) -> None:
        """Closes every provider, whoever holds it."""
        for each in self._open:
            each.holders = 0
        self.close_unheld()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_TIMEOUT_S)

    def _find(self, stage: ServiceSettings, name: str, settings: Mapping[type[Section], Section]) -> _Shared:
        fields = type(stage).model_fields
        seen = stage.model_copy(update={key: fields[key].default for key in USERS_KEYS & fields.keys()})
        section = registry.module(stage.section, name).SETTINGS
        own = None if section is None else settings[section]
        for each in self._open:
            if (each.name, each.stage, each.own) == (name, seen, own):
                return each
        self._open.append(_Shared(name, seen, own, registry.build_one(seen, name, settings)))
        return self._open[-1]


def _composed(stage: ServiceSettings, members: Sequence[Member[Any]]) -> Any:
    """A single one as it is; of several, the one that lets each take over from the one before it."""
    return members[0].provider if len(members) == 1 else _FALLBACKS[type(stage)](members, stage)


async def _close(shared: _Shared) -> None:
    for breaker in shared.breakers.values():
        breaker.retire()
    try:
        await shared.provider.close()
    except Exception:
        # It is used no more, and its failure is no call's.
        log.exception("provider not closed", extra={"stage": shared.stage.section, "provider": shared.name})
