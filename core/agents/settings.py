"""Agents of the file: `[agent.NAME]` with `match`, `disabled`, and any key of the sections that belong to a call."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pydantic import field_validator

from core.agents.match import compiled, fits
from core.agents.variables import Environment, Ini, SectionsOfCall, merged, naming, with_variables
from core.providers import registry as providers
from services.common.settings import ConfigurationError, Loaded, Section, describe, key, load, variables_of

PREFIX = "agent."
DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# The upstream connector's flavors.
_FLAVORS = ("deepgram", "openai", "deepgram_native", "azure")


class AgentSettings(Section):
    """Whose calls an agent answers."""

    section: ClassVar[str] = f"{PREFIX}NAME"
    match: str = key(
        "",
        help="Regular expressions, one a line or separated by commas: the agent answers where the dialled user matches "
        "one of them from its beginning. The first such agent of the file answers, where there is none the default one",
    )
    disabled: bool = key(False, help="Leave the agent out, as if it were not in the file")

    @field_validator("match")
    @classmethod
    def _check(cls, text: str) -> str:
        compiled(text)
        return text


@dataclass(frozen=True)
class AgentConfiguration:
    """One agent, as configured.

    Attributes:
        settings: the sections of a call, with what this agent says differently.
        overridden: what it says differently: (section, key).
        ignored: keys that are another connector's, and have no effect.
    """

    name: str
    own: AgentSettings
    settings: Loaded
    overridden: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()

    def matches(self, dialled: str) -> bool:
        return fits(self._patterns, dialled)

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return compiled(self.own.match)


def is_flavor(section: str, keys: Collection[str]) -> bool:
    """Whether a section that is none of ours looks like that of one of the upstream connector's AI flavors."""
    return section in _FLAVORS or ("." not in section and not {"match", "disabled"}.isdisjoint(keys))


def read_flavor(section: str, ini: Ini, environ: Environment, default: Loaded) -> AgentConfiguration:
    """The default agent by another name: the section's other keys belong to an engine of the upstream connector's.

    Raises:
        ConfigurationError: its `match` or `disabled` cannot be right.
    """
    keys = dict(ini[section])
    disabled = environ.get(f"{section.upper()}_DISABLE", "")
    if disabled:
        # Upstream, the file wins over the environment.
        keys.setdefault("disabled", disabled)
    ignored = tuple(each for each in keys if each not in AgentSettings.model_fields)
    own = _own_settings({each: text for each, text in keys.items() if each not in ignored}, section)
    return AgentConfiguration(section, own, default, ignored=ignored)


def read_agent(
    section: str, ini: Ini, environ: Environment, sections_of_call: SectionsOfCall, told: Collection[str]
) -> AgentConfiguration:
    """What the agent's own variables say, over its section, the environment, the file, and the defaults.

    Args:
        told: what is wrong with the file without this agent, which is no problem of its own.

    Raises:
        ConfigurationError: everything wrong with it, each problem beginning with the section's name.
    """
    name = section.removeprefix(PREFIX)
    keys, given = with_variables(section, AgentSettings, ini, environ, sections_of_call)
    of_call = {each: text for each, text in keys.items() if "." in each}
    own_keys = {each: text for each, text in keys.items() if "." not in each}
    overridden = tuple((each.rpartition(".")[0], each.rpartition(".")[2]) for each in of_call)
    problems: list[str] = []
    if not _NAME.fullmatch(name) or name == DEFAULT:
        problems.append(f"[{section}]: {name!r} is no name for an agent: letters, digits, - and _, but not {DEFAULT!r}")
    own, settings = AgentSettings(), Loaded({}, {})
    for each in [each for each in own_keys if each not in AgentSettings.model_fields]:
        del own_keys[each]
        problems.append(f"{section}: {each}: unknown key{_with_its_section(each, sections_of_call({}, {}))}")
    try:
        own = _own_settings(own_keys, section)
    except ConfigurationError as error:
        problems += error.problems
    try:
        settings = _overridden(of_call, overridden, ini, environ, sections_of_call)
    except ConfigurationError as error:
        problems += [f"{section}: {problem}" for problem in error.problems if problem not in told]
    if problems:
        raise ConfigurationError([naming(problem, section, given) for problem in problems])
    sources = {
        place: f"env {given[each]}" if each in given else section
        for each, place in zip(of_call, overridden, strict=True)
    }
    return AgentConfiguration(name, own, Loaded(settings, settings.sources | sources), overridden)


def _own_settings(keys: Mapping[str, str], section: str) -> AgentSettings:
    try:
        return load([AgentSettings], {AgentSettings.section: keys}, {})[AgentSettings]
    except ConfigurationError as error:
        raise ConfigurationError(
            [f"{section}: {problem.removeprefix(f'{AgentSettings.section}.')}" for problem in error.problems]
        ) from error


def _overridden(
    of_call: Mapping[str, str],
    overrides: Collection[tuple[str, str]],
    ini: Ini,
    environ: Environment,
    sections_of_call: SectionsOfCall,
) -> Loaded:
    file = merged(ini, of_call)
    # Twice: only once a variable that names another provider is out of the way, that one's section is known.
    environ = _without(environ, overrides, sections_of_call(ini, environ))
    sections = sections_of_call(file, environ)
    environ = _without(environ, overrides, sections)
    known = {each.section for each in sections}
    problems = [
        f"{section}.{name}: [{section}] is no section of a call{_meant(section, known)}"
        for section, name in overrides
        if section not in known
    ]
    try:
        loaded = load(sections, file, environ, ignore={"*"})
        providers.check(*(loaded[stage] for stage in providers.STAGES))
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return loaded


def _without(
    environ: Environment, overrides: Collection[tuple[str, str]], sections: Sequence[type[Section]]
) -> Environment:
    """The environment without the variables of what is overridden, for which they would win."""
    hidden = set(variables_of(each for each in describe(sections) if (each.section, each.key) in overrides))
    return {name: text for name, text in environ.items() if name not in hidden}


def _with_its_section(name: str, sections: Sequence[type[Section]]) -> str:
    places = [f"{each.section}.{each.key}" for each in describe(sections) if each.key == name]
    return f", did you mean {' or '.join(places)}?" if places else ""


def _meant(section: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(section, list(known), n=1)
    return f", did you mean [{close[0]}]?" if close else f"; those are {', '.join(sorted(known))}"
