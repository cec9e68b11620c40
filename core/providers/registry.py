"""From a provider's name in the settings to the provider, its module imported when it is named."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from core.providers.settings import AsrSettings, LlmSettings, ServiceSettings, TtsSettings
from services.common.settings import ConfigurationError, Section

# stage -> name -> module, a `ProviderModule`.
PROVIDERS: dict[str, dict[str, str]] = {
    "asr": {
        "grpc": "core.providers.asr.grpc",
        "scripted": "core.providers.asr.scripted",
        "vosk_ws": "core.providers.asr.vosk_ws",
    },
    "llm": {
        "grpc": "core.providers.llm.grpc",
        "llama_ws": "core.providers.llm.llama_ws",
        "ollama": "core.providers.llm.ollama",
        "openai": "core.providers.llm.openai",
        "scripted": "core.providers.llm.scripted",
    },
    "tts": {
        "grpc": "core.providers.tts.grpc",
        "piper_ws": "core.providers.tts.piper_ws",
        "scripted": "core.providers.tts.scripted",
    },
}
STAGES: tuple[type[ServiceSettings], ...] = (AsrSettings, LlmSettings, TtsSettings)


class ProviderModule(Protocol):
    """What a provider's module has, besides the provider.

    Attributes:
        NAME: as the settings name it.
        SETTINGS: what it needs beyond its stage's settings, in the section "stage.name"; None for nothing.
    """

    NAME: str
    SETTINGS: type[Section] | None

    def build(self, settings: Any, own: Any) -> Any:
        """The provider, from its stage's settings and its own section. Needs a running loop."""


def module(stage: str, name: str) -> ProviderModule:
    """The module of a known provider, imported now.

    Raises:
        ConfigurationError: a library that it needs is not installed.
    """
    try:
        return cast(ProviderModule, import_module(PROVIDERS[stage][name]))
    except ImportError as error:
        raise ConfigurationError(
            [f"{stage}.provider: {name!r} needs the extra {name!r} of this package ({error})"]
        ) from error


def sections(names: Iterable[tuple[str, str]]) -> list[type[Section]]:
    """The own sections of the providers given as (stage, name); unknown ones have none.

    Raises:
        ConfigurationError: a library that one needs is not installed.
    """
    known = [module(stage, name) for stage, name in names if name in PROVIDERS.get(stage, ())]
    return [each.SETTINGS for each in known if each.SETTINGS is not None]


def check(*stages: ServiceSettings) -> None:
    """Raises ConfigurationError that names every provider that is not known."""
    problems = [
        f"{settings.section}.provider: {name!r} is not known; known are "
        + ", ".join(sorted(PROVIDERS[settings.section]))
        for settings in stages
        for name in settings.provider
        if name not in PROVIDERS[settings.section]
    ]
    if problems:
        raise ConfigurationError(problems)


def build_one(stage: ServiceSettings, name: str, settings: Mapping[type[Section], Section]) -> Any:
    """One provider of a stage, by its name, which must be known. Needs a running loop."""
    found = module(stage.section, name)
    return found.build(stage, None if found.SETTINGS is None else settings[found.SETTINGS])
