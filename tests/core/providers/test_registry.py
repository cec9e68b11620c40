"""Providers by their names in the settings."""

from importlib import import_module

import pytest

from core.providers import registry
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from services.common.settings import ConfigurationError, load


def test_every_unknown_name_is_told_at_once_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError) as refused:
        registry.check(
            AsrSettings(provider=("grpc", "ears")), LlmSettings(provider=("brain",)), TtsSettings(provider=("mouth",))
        )
    known = {stage: ", ".join(sorted(names)) for stage, names in registry.PROVIDERS.items()}
    assert refused.value.problems == (
        f"asr.provider: 'ears' is not known; known are {known['asr']}",
        f"llm.provider: 'brain' is not known; known are {known['llm']}",
        f"tts.provider: 'mouth' is not known; known are {known['tts']}",
    )


def test_known_names_pass_the_check() -> None:
    registry.check(AsrSettings(), LlmSettings(provider=("scripted",)), TtsSettings())


@pytest.mark.parametrize("name", ["grpc", "scripted"])
async def test_one_of_that_name_is_built(name: str) -> None:
    loaded = load(registry.STAGES, {}, {})
    for settings in (loaded[AsrSettings], loaded[LlmSettings], loaded[TtsSettings]):
        provider = registry.build_one(settings, name, loaded)
        assert (provider.name, provider.ready) == (name, name == "scripted")
        await provider.close()


@pytest.mark.parametrize(
    ("stage", "name"), [(stage, name) for stage, names in registry.PROVIDERS.items() for name in names]
)
def test_every_registered_module_builds_a_provider_of_that_name(stage: str, name: str) -> None:
    module = import_module(registry.PROVIDERS[stage][name])
    assert name == module.NAME
    assert callable(module.build)
