"""Providers shared by equality, closed with their last lease."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pydantic
import pytest
from prometheus_client import REGISTRY

from core.errors import ProviderUnavailable
from core.providers import registry
from core.providers.asr.fallback import FallbackRecognizer
from core.providers.llm.fallback import FallbackGenerator
from core.providers.pool import USERS_KEYS, Lease, ProviderPool
from core.providers.settings import LlmSettings, TtsSettings
from core.providers.tts.fallback import FallbackSynthesizer
from services.common.settings import ConfigurationError, Loaded, Section, key, load


class NotedSettings(Section):
    """Of the provider below."""

    section: ClassVar[str] = "llm.noted"
    model: str = key("small", help="Model")
    secret: pydantic.SecretStr = key(pydantic.SecretStr(""), help="Secret", secret=True)


@dataclass(eq=False)
class Noted:
    """Notes that it was closed, and may take its time about it."""

    settings: LlmSettings
    own: NotedSettings
    name: str = "noted"
    ready: bool = True
    closed: int = 0
    may_close: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        await self.may_close.wait()
        self.closed += 1
        if self.own.model == "breaks":
            raise ZeroDivisionError


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Noted]]:
    """Registers a provider; the providers that were built of it."""
    made: list[Noted] = []

    def build(settings: LlmSettings, own: NotedSettings) -> Noted:
        if own.model == "impossible":
            raise ConfigurationError(["llm.noted.model: impossible"])
        made.append(Noted(settings, own))
        made[-1].may_close.set()
        return made[-1]

    module = SimpleNamespace(NAME="noted", SETTINGS=NotedSettings, build=build)
    found = registry.module
    monkeypatch.setitem(registry.PROVIDERS["llm"], "noted", "noted")
    monkeypatch.setattr(registry, "module", lambda stage, name: module if name == "noted" else found(stage, name))
    yield made
    assert [each.closed for each in made] == [1] * len(made)


def settings(ini: Mapping[str, Mapping[str, str]] | None = None) -> Loaded:
    defaults = {stage.section: {"provider": "scripted"} for stage in registry.STAGES}
    defaults["llm"]["provider"] = "noted"
    for section, keys in (ini or {}).items():
        defaults[section] = {**defaults.get(section, {}), **keys}
    return load([*registry.STAGES, NotedSettings], defaults, {})


async def test_what_is_equal_is_built_once_and_closed_with_the_last_lease(built: list[Noted]) -> None:
    pool = ProviderPool()
    first, second = pool.lease(settings()), pool.lease(settings())
    assert first.providers.generator is second.providers.generator
    assert first.members(TtsSettings) == second.members(TtsSettings)
    await first.release()
    assert built[0].closed == 0
    await second.release()
    assert [each.closed for each in built] == [1]
    third = pool.lease(settings())
    assert len(built) == 2
    await third.release()


async def test_a_lease_counts_once_however_often_it_is_released(built: list[Noted]) -> None:
    pool = ProviderPool()
    first, second = pool.lease(settings()), pool.lease(settings())
    await first.release()
    await first.release()
    assert built[0].closed == 0
    await second.release()


async def test_a_share_keeps_the_providers_open_without_the_lease_it_came_from(built: list[Noted]) -> None:
    lease = ProviderPool().lease(settings())
    share = lease.share()
    await lease.release()
    assert (built[0].closed, share.providers) == (0, lease.providers)
    await share.release()


@pytest.mark.parametrize(
    "other",
    [
        {"llm": {"host": "elsewhere"}},
        {"llm": {"timeout": "3"}},
        {"llm.noted": {"model": "large"}},
        {"llm.noted": {"secret": "other"}},
    ],
)
async def test_other_settings_are_another_provider(built: list[Noted], other: dict[str, dict[str, str]]) -> None:
    leases = ProviderPool().leases([settings(), settings(other)])
    assert len(built) == 2
    assert leases[0].providers.generator is not leases[1].providers.generator
    assert leases[0].members(TtsSettings) == leases[1].members(TtsSettings)
    for lease in leases:
        await lease.release()


@pytest.mark.parametrize(
    "other",
    [
        {"llm": {"budget_ms": "999"}},
        {"llm": {"breaker_failures": "9"}},
        {"llm": {"max_tokens": "9", "temperature": "1", "top_p": "0.5"}},
        {"llm": {"provider": "noted, scripted"}},
        {"asr": {"phrases": "Brompton"}},
    ],
)
async def test_settings_for_the_user_of_a_provider_build_no_other(
    built: list[Noted], other: dict[str, dict[str, str]]
) -> None:
    pool = ProviderPool()
    old = pool.lease(settings())
    new = pool.lease(settings(other))
    await old.release()
    assert len(built) == 1
    assert not built[0].closed
    await new.release()


async def test_a_provider_sees_nothing_that_may_change_without_it(built: list[Noted]) -> None:
    lease = ProviderPool().lease(settings({"llm": {"budget_ms": "999", "max_tokens": "9", "host": "elsewhere"}}))
    seen = built[0].settings
    defaults = LlmSettings()
    assert [getattr(seen, each) for each in sorted(USERS_KEYS & LlmSettings.model_fields.keys())] == [
        getattr(defaults, each) for each in sorted(USERS_KEYS & LlmSettings.model_fields.keys())
    ]
    assert seen.host == "elsewhere"
    await lease.release()


async def test_a_budget_of_the_agents_own_is_that_of_its_wrapper(built: list[Noted]) -> None:
    pool = ProviderPool()
    several = {"provider": "noted, scripted"}
    lease = pool.lease(settings({"llm": several | {"budget_ms": "70"}}))
    wrapper = lease.providers.generator
    assert isinstance(wrapper, FallbackGenerator)
    assert vars(wrapper)["_members"][0].provider is built[0]
    other = pool.lease(settings({"llm": several | {"budget_ms": "80"}})).providers.generator
    assert isinstance(other, FallbackGenerator)
    # What is known of a provider's health is known to all who use it.
    assert vars(other)["_members"][0].breaker is vars(wrapper)["_members"][0].breaker
    third = pool.lease(settings({"llm": several | {"breaker_failures": "9"}})).providers.generator
    assert vars(third)["_members"][0].breaker is not vars(wrapper)["_members"][0].breaker
    await pool.close()


async def test_one_name_is_that_provider_and_nothing_before_it(built: list[Noted]) -> None:
    pool = ProviderPool()
    generator: object = pool.lease(settings()).providers.generator
    assert generator is built[0]
    await pool.close()


async def test_nobody_is_told_that_a_provider_is_left_out_which_is_closed(built: list[Noted]) -> None:
    pool = ProviderPool()
    lease = pool.lease(settings({"llm": {"provider": "noted, scripted", "breaker_failures": "1"}}))
    vars(lease.providers.generator)["_members"][0].breaker.began().failed(ProviderUnavailable("noted", "gone"))
    labels = {"stage": "llm", "provider": "noted"}
    assert REGISTRY.get_sample_value("oavc_provider_breaker_open", labels) == 1

    await lease.release()

    assert REGISTRY.get_sample_value("oavc_provider_breaker_open", labels) == 0


async def test_several_names_make_one_provider_of_each_stage(built: list[Noted]) -> None:
    pool = ProviderPool()
    lease = pool.lease(settings({stage.section: {"provider": "grpc, scripted, grpc"} for stage in registry.STAGES}))
    providers = lease.providers
    assert isinstance(providers.recognizer, FallbackRecognizer)
    assert isinstance(providers.generator, FallbackGenerator)
    assert isinstance(providers.synthesizer, FallbackSynthesizer)
    assert len(lease.members(TtsSettings)) == 2
    await lease.release()


async def test_the_first_that_is_usable_serves(built: list[Noted]) -> None:
    pool = ProviderPool()
    lease = pool.lease(settings({"llm": {"provider": "noted, scripted"}, "tts": {"provider": "grpc, scripted"}}))
    assert lease.serving() == {"asr": "scripted", "llm": "noted", "tts": "scripted"}
    built[0].ready = False
    assert lease.share().serving()["llm"] == "scripted"
    await pool.close()


async def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'ears' is not known"):
        ProviderPool().lease(load(registry.STAGES, {"asr": {"provider": "ears"}}, {}))


async def test_where_one_cannot_be_had_nothing_is_left_behind(built: list[Noted]) -> None:
    pool = ProviderPool()
    kept = pool.lease(settings())
    with pytest.raises(ConfigurationError, match="impossible"):
        pool.leases(
            [settings(), settings({"llm.noted": {"model": "large"}}), settings({"llm.noted": {"model": "impossible"}})]
        )
    async with asyncio.timeout(5):
        while not built[1].closed:
            await asyncio.sleep(0)
    assert [each.closed for each in built] == [0, 1]
    await kept.release()


async def test_a_provider_that_breaks_when_it_is_closed_is_logged(
    built: list[Noted], caplog: pytest.LogCaptureFixture
) -> None:
    await ProviderPool().lease(settings({"llm.noted": {"model": "breaks"}})).release()
    assert "provider not closed" in caplog.text


async def test_closing_goes_on_without_whoever_waited_for_it(built: list[Noted]) -> None:
    pool = ProviderPool()
    lease = pool.lease(settings())
    built[0].may_close.clear()
    releasing = asyncio.create_task(lease.release())
    await asyncio.sleep(0)
    releasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await releasing
    built[0].may_close.set()
    await pool.close()
    assert built[0].closed == 1


async def test_one_that_does_not_close_is_not_waited_for_for_ever(
    built: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.providers.pool.CLOSE_TIMEOUT_S", 0.01)
    pool = ProviderPool()
    lease = pool.lease(settings())
    built[0].may_close.clear()
    async with asyncio.timeout(5):
        await lease.release()
        await pool.close()
    assert built[0].closed == 0
    built[0].may_close.set()
    await pool.close()


async def test_the_pool_closes_what_is_still_held(built: list[Noted]) -> None:
    pool = ProviderPool()
    lease = pool.lease(settings())
    await pool.close()
    assert built[0].closed == 1
    await lease.release()


async def test_a_lease_without_a_pool_closes_nothing(built: list[Noted]) -> None:
    pool = ProviderPool()
    held = pool.lease(settings())
    await Lease(held.providers).release()
    assert built[0].closed == 0
    await pool.close()


def test_what_a_provider_does_not_see_exists() -> None:
    stages: list[Any] = list(registry.STAGES)
    assert {name for stage in stages for name in stage.model_fields} >= USERS_KEYS
    assert "voice" in TtsSettings.model_fields.keys() - USERS_KEYS
