"""All of core's settings, composed from each component's own."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.agents.settings import (
    DEFAULT,
    PREFIX,
    AgentConfiguration,
    AgentSettings,
    is_flavor,
    read_agent,
    read_flavor,
)
from core.agents.variables import Environment, Ini, variables
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
from services.common.setting_variables import unread, variable
from services.common.settings import (
    ConfigurationError,
    Loaded,
    Section,
    describe,
    key,
    load,
    read_ini,
    variables_of,
)
from services.common.tracing import TracingSettings


class CoreLogSettings(LogSettings):
    """The log of this process: its own level, else that of all."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = key(
        "INFO", env=("CORE_LOG_LEVEL", "LOG_LEVEL"), help="Records below this level are dropped."
    )


# What one call is configured by, and an agent may say differently. Beside these: the sections of its providers.
SECTIONS_OF_CALL: tuple[type[Section], ...] = (
    AsrSettings,
    LlmSettings,
    TtsSettings,
    AudioSettings,
    SessionSettings,
    DialogueSettings,
    HttpToolSettings,
)
# What the process is configured by, from its start to its end.
SECTIONS_OF_PROCESS: tuple[type[Section], ...] = (
    transports.TransportsSettings,
    *transports.sections(),
    MediaSettings,
    CallSettings,
    OutboundSettings,
    ManagementSettings,
    CoreLogSettings,
    TracingSettings,
)
# Beside these: each provider's own section, where it is named or has one in the file.
SECTIONS: tuple[type[Section], ...] = (*SECTIONS_OF_PROCESS, *SECTIONS_OF_CALL)
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


@dataclass(frozen=True)
class Configuration:
    """All that core is told: the process' settings, and the agents, in the order of the file.

    Attributes:
        settings: every section; those of a call are the default agent's.
        disabled: the names of agents that are left out.
        unread: what is told of each variable that looks like a setting's and is none's.
    """

    settings: Loaded
    agents: tuple[AgentConfiguration, ...] = ()
    disabled: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def default(self) -> AgentConfiguration:
        """Whoever answers where no other agent does."""
        return AgentConfiguration(DEFAULT, AgentSettings(), self.settings)


def load_settings(path: Path | None, environ: Environment = os.environ) -> Loaded:
    """Every section of core's, from the file and the environment over it.

    Raises:
        ConfigurationError: every unknown key and impossible value at once, the agents' too.
    """
    return load_configuration(path, environ).settings


def load_configuration(path: Path | None, environ: Environment = os.environ) -> Configuration:
    """Every section of core's, and every agent.

    Raises:
        ConfigurationError: every unknown key and impossible value at once.
    """
    ini = read_ini(path) if path is not None else {}
    ours = {name for name in ini if name.startswith(PREFIX)}
    flavors = {name for name, keys in ini.items() if name not in _known_sections() and is_flavor(name, keys)}
    problems: list[str] = []
    settings = Loaded({}, {})
    try:
        settings = load(
            (*SECTIONS_OF_PROCESS, *_sections_of_call(ini, environ)),
            ini,
            environ,
            ignore=FOREIGN_SECTIONS | UPSTREAM_KEYS | ours | flavors,
        )
    except ConfigurationError as error:
        problems += error.problems
    else:
        problems += _unusable(settings)
    agents: list[AgentConfiguration] = []
    for name in ini:
        try:
            if name in ours:
                agents.append(read_agent(name, ini, environ, _sections_of_call, tuple(problems)))
            elif name in flavors:
                agents.append(read_flavor(name, ini, environ, settings))
        except ConfigurationError as error:
            problems += error.problems
    problems += _alike_to_the_environment(name for name in ini if name in ours)
    if problems:
        raise ConfigurationError(problems)
    return Configuration(
        settings,
        tuple(agent for agent in agents if not agent.own.disabled),
        tuple(agent.name for agent in agents if agent.own.disabled),
        tuple(_unread_variables(settings, agents, environ)),
    )


def changed_for_a_restart(old: Loaded, new: Loaded) -> list[str]:
    """The keys, "section.key", that differ and that only a new process heeds."""
    return [
        f"{section.section}.{name}"
        for section in SECTIONS_OF_PROCESS
        for name in section.model_fields
        if getattr(old[section], name) != getattr(new[section], name)
    ]


def _unusable(settings: Loaded) -> Iterator[str]:
    """The transports and providers that are named and not there, and what the transports lack."""
    outbound = settings[OutboundSettings]
    try:
        transports.check(settings, outbound.transport if outbound.enabled else None)
    except ConfigurationError as error:
        yield from error.problems
    try:
        providers.check(*(settings[stage] for stage in providers.STAGES))
    except ConfigurationError as error:
        yield from error.problems


def _alike_to_the_environment(agents: Iterable[str]) -> Iterator[str]:
    """The agents whose variables would have the same names."""
    first: dict[str, str] = {}
    for each in agents:
        other = first.setdefault(variable(each), each)
        if other != each:
            yield f"[{each}]: the environment cannot tell it from [{other}]"


def _unread_variables(settings: Loaded, agents: Iterable[AgentConfiguration], environ: Environment) -> list[str]:
    known = set(variables_of(describe([*SECTIONS, *settings])))
    others = {f"{stage}.{name}" for stage, names in providers.PROVIDERS.items() for name in names} | FOREIGN_SECTIONS
    for agent in agents:
        known |= set(variables_of(describe(list(agent.settings))))
        known |= {name for _, name in variables(f"{PREFIX}{agent.name}", AgentSettings, list(agent.settings))}
    unused = others - {each.section for loaded in (settings, *(agent.settings for agent in agents)) for each in loaded}
    return unread(environ, known, unused)


def _sections_of_call(ini: Ini, environ: Environment) -> list[type[Section]]:
    return [*SECTIONS_OF_CALL, *providers.sections(_named_providers(ini, environ))]


def _known_sections() -> frozenset[str]:
    """The sections that are not some flavor's of upstream's, whatever keys they have."""
    keys = list(describe(SECTIONS))
    elsewhere = {place.rpartition(".")[0] for each in keys for place in each.aliases} | {"engine"}
    return FOREIGN_SECTIONS | elsewhere | {each.section for each in keys}


def _named_providers(ini: Ini, environ: Environment) -> list[tuple[str, str]]:
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


__all__ = [
    "SECTIONS",
    "Configuration",
    "ConfigurationError",
    "CoreLogSettings",
    "changed_for_a_restart",
    "config_file",
    "load_configuration",
    "load_settings",
]
