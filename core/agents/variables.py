"""An agent's part of the environment: OAVC_AGENT_<NAME>_<SECTION>_<KEY>, over what its section of the file says."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from services.common.setting_variables import SECRET_FILE, variable
from services.common.settings import ConfigurationError, Section, describe

Ini = Mapping[str, Mapping[str, str]]
Environment = Mapping[str, str]
# The sections that a call is configured by, in such a file and environment.
SectionsOfCall = Callable[[Ini, Environment], Sequence[type[Section]]]


def variables(agent: str, own: type[Section], sections_of_call: Sequence[type[Section]]) -> Iterator[tuple[str, str]]:
    """Every key of the agent's section, and a variable that is read for it."""
    for each in describe([own]):
        yield each.key, variable(agent, each.key)
    for each in describe(sections_of_call):
        place = f"{each.section}.{each.key}"
        yield place, variable(agent, place)
        if each.secret:
            yield place, f"{variable(agent, place)}{SECRET_FILE}"


def with_variables(
    agent: str, own: type[Section], ini: Ini, environ: Environment, sections_of_call: SectionsOfCall
) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of the agent's section with the environment over them, and of some the variable that gave them."""
    keys = dict(ini[agent])
    given: dict[str, str] = {}
    # Twice: only once a variable has named the agent's providers, the keys of those are known.
    for _ in range(2):
        try:
            known = sections_of_call(merged(ini, keys), environ)
        except ConfigurationError:
            # Whoever loads them tells why.
            break
        for place, name in variables(agent, own, known):
            if environ.get(name) and place not in given:
                is_file = name != variable(agent, place)
                keys[place] = f"file:{environ[name]}" if is_file else environ[name]
                given[place] = name
    return keys, given


def merged(ini: Ini, keys: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The file as it would be if it said in its sections what an agent says as `section.key`."""
    file = {section: dict(of_section) for section, of_section in ini.items()}
    for place, text in keys.items():
        section, _, name = place.rpartition(".")
        if section:
            file.setdefault(section, {})[name] = text
    return file


def naming(problem: str, agent: str, given: Mapping[str, str]) -> str:
    """The problem with the variable that it comes from, if it comes from one."""
    for place, name in given.items():
        for start in (f"{agent}: {place}", f"{agent}.{place}"):
            if problem.startswith(f"{start}:"):
                return f"{start} ({name}){problem.removeprefix(start)}"
    return problem
