"""All of core's settings, composed from each component's own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from core.calls.settings import CallSettings, OutboundSettings
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.management.settings import ManagementSettings
from core.media.settings import MediaSettings
from core.pipeline.settings import AudioSettings
from core.providers import registry as providers
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.transports import registry as transports
from services.common.logs import LogSettings
from services.common.settings import ConfigurationError, Loaded, Section, key, load, read_ini
from services.common.tracing import TracingSettings


class CoreLogSettings(LogSettings):
    """The log of this process: its own level, else that of all."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = key(
        "INFO", env=("CORE_LOG_LEVEL", "LOG_LEVEL"), help="Records below this level are dropped."
    )


# Beside these: each provider's own section, where it is named or has one in the file.
SECTIONS: tuple[type[Section], ...] = (
    transports.TransportsSettings,
    *transports.sections(),
    MediaSettings,
    AsrSettings,
    LlmSettings,
    TtsSettings,
    AudioSettings,
    SessionSettings,
    DialogueSettings,
    HttpToolSettings,
    CallSettings,
    OutboundSettings,
    ManagementSettings,
    CoreLogSettings,
    TracingSettings,
)
# The services read their own sections of the same file.
FOREIGN_SECTIONS = frozenset({"asr_service", "asr_engine", "llm_service", "tts_service", "synthesis", "models"})
# The upstream connector asks it which AI answers a call; here one does.
UPSTREAM_KEYS = frozenset({"engine.api_url"})

CONFIG_FILE_ENVS = ("OAVC_CONFIG_FILE", "CONFIG_FILE")
CONFIG_FILE_DEFAULT = Path("config/app.ini")


def config_file(environ: Mapping[str, str], argument: str | None = None) -> Path | None:
    """The file named on the command line, else by the environment, else the default one if it exists."""
    named = argument or next((environ[name] for name in CONFIG_FILE_ENVS if environ.get(name)), None)
    if named:
        return Path(named)
    return CONFIG_FILE_DEFAULT if CONFIG_FILE_DEFAULT.exists() else None


def load_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Every section of core's, from the file and the environment over it.

    Raises:
        ConfigurationError: every unknown key and impossible value at once.
    """
    ini = read_ini(path) if path is not None else {}
    # A section of the upstream connector's for one of its AI flavors: nothing of ours is configured by it.
    flavors = {name for name, keys in ini.items() if keys.keys() & {"disabled", "match"}}
    sections = (*SECTIONS, *providers.sections(_named_providers(ini, environ)))
    return load(sections, ini, environ, ignore=FOREIGN_SECTIONS | UPSTREAM_KEYS | flavors)


def _named_providers(ini: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The providers that are in use, and those that the file configures: (stage, name)."""
    named: dict[tuple[str, str], None] = {}
    for stage in providers.STAGES:
        own = {stage.section: ini.get(stage.section, {})}
        try:
            loaded = load([stage], own, environ)[stage]
        except ConfigurationError:
            # Told with everything else that is wrong.
            continue
        named.update(((stage.section, name), None) for name in loaded.provider)
    for section in ini:
        name = section.partition(".")
        if name[1]:
            named[name[0], name[2]] = None
    return list(named)


__all__ = ["SECTIONS", "ConfigurationError", "CoreLogSettings", "config_file", "load_settings"]
