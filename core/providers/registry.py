"""From a provider's name in the settings to the provider, imported when it is first used."""

from importlib import import_module
from typing import Any

from core.providers.base import Providers
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from services.common.settings import ConfigurationError

# stage -> name -> module with `build(settings)`.
PROVIDERS: dict[str, dict[str, str]] = {
    "asr": {"grpc": "core.providers.asr.grpc", "scripted": "core.providers.asr.scripted"},
    "llm": {"grpc": "core.providers.llm.grpc", "scripted": "core.providers.llm.scripted"},
    "tts": {"grpc": "core.providers.tts.grpc", "scripted": "core.providers.tts.scripted"},
}


def check(asr: AsrSettings, llm: LlmSettings, tts: TtsSettings) -> None:
    """Raises ConfigurationError that names every provider that is not known."""
    problems = [
        f"{stage}.provider: {name!r} is not known; known are {', '.join(sorted(PROVIDERS[stage]))}"
        for stage, name in (("asr", asr.provider), ("llm", llm.provider), ("tts", tts.provider))
        if name not in PROVIDERS[stage]
    ]
    if problems:
        raise ConfigurationError(problems)


def build(asr: AsrSettings, llm: LlmSettings, tts: TtsSettings) -> Providers:
    """The providers that the settings name. Needs a running loop.

    Raises:
        ConfigurationError: a name is not known.
    """
    check(asr, llm, tts)
    return Providers(_build("asr", asr), _build("llm", llm), _build("tts", tts))


def _build(stage: str, settings: AsrSettings | LlmSettings | TtsSettings) -> Any:
    return import_module(PROVIDERS[stage][settings.provider]).build(settings)
