"""Checks the configuration of all four processes: prints what is in force, secrets masked, or everything wrong."""

import argparse
import importlib
import os
from collections.abc import Mapping
from pathlib import Path

from core.agents.briefing import brief
from core.agents.settings import AgentConfiguration
from core.settings import config_file, load_configuration
from services.common.process import ServiceProcess, load_service_settings
from services.common.setting_values import shown as text_of
from services.common.settings import ConfigurationError, describe, effective, unread_variables
from tools.oavc.console import complain, tell
from tools.oavc.stack import SERVICES

EXIT_CONFIGURATION = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="configuration file (default: OAVC_CONFIG_FILE, else config/app.ini)")
    parser.add_argument("--quiet", action="store_true", help="print problems only")


def run(options: argparse.Namespace) -> int:
    """0 where every process would start with this configuration."""
    path = config_file(os.environ, options.config)
    shown, problems, unread = check(path, os.environ)
    for told in unread:
        complain(f"oavc check: {told}: a variable that nobody reads")
    if problems:
        for problem in problems:
            complain(f"oavc check: {problem}")
        return EXIT_CONFIGURATION
    if not options.quiet:
        tell(f"# {path or 'defaults only: there is no configuration file'}\n")
        tell("\n".join(f"# {process}\n{text}" for process, text in shown.items()))
    return 0


def check(path: Path | None, environ: Mapping[str, str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The effective configuration of each process, what each agent says differently; all problems; unread variables."""
    environ = {**environ, **({"OAVC_CONFIG_FILE": str(path)} if path else {})}
    shown: dict[str, str] = {}
    problems: dict[str, None] = {}
    unread: dict[str, None] = {}
    try:
        core = load_configuration(path, environ)
        shown["core"] = effective(core.settings)
        shown |= {f"agent {agent.name}": _difference(agent) for agent in core.agents}
        shown |= {f"agent {name}": "disabled\n" for name in core.disabled}
        unread |= dict.fromkeys(core.unread)
        brief(core.default, core.agents)
    except ConfigurationError as error:
        problems |= dict.fromkeys(error.problems)
    for name in SERVICES:
        process = _service(name, environ)
        unread |= dict.fromkeys(unread_variables(process.all_sections, environ))
        try:
            shown[name] = effective(load_service_settings(process, environ))
        except ConfigurationError as error:
            problems |= dict.fromkeys(error.problems)
    return shown, list(problems), list(unread)


def _difference(agent: AgentConfiguration) -> str:
    """What an agent says differently from the default one, as it stands in its section; secrets masked."""
    lines = [f"match = {agent.own.match}".replace("\n", "\n  ").rstrip()]
    for each in describe(list(agent.settings)):
        if (each.section, each.key) in agent.overridden:
            value = next(getattr(agent.settings[of], each.key) for of in agent.settings if of.section == each.section)
            lines.append(f"{each.section}.{each.key} = {'********' if each.secret else text_of(value)}")
    lines += [f"# no effect: {', '.join(agent.ignored)}"] if agent.ignored else []
    return "\n".join([*lines, ""])


def _service(name: str, environ: Mapping[str, str]) -> ServiceProcess:
    process: ServiceProcess = importlib.import_module(f"services.{name}.__main__").build(environ)
    return process
