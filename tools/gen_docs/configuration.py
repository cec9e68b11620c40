"""docs/configuration.md: every section and key of every process, as they are declared."""

from collections.abc import Iterable, Sequence
from importlib import import_module

from core.agents.settings import AgentSettings
from core.providers import registry as providers
from core.settings import CONFIG_FILE_DEFAULT, CONFIG_FILE_ENVS, SECTIONS
from services.common.process import ServiceProcess
from services.common.settings import KeyDescription, Section, describe
from tools.gen_docs.tables import NOTE, code, table

SERVICES = ("asr", "llm", "tts")

_INTRODUCTION = f"""{NOTE}
# Configuration

All processes read one INI file, and the environment over it. The file is the one that `-c` names, else
{", else ".join(f"`{name}`" for name in CONFIG_FILE_ENVS)}, else `{CONFIG_FILE_DEFAULT}`. The services know
`{CONFIG_FILE_ENVS[0]}` and the default.

Every key has the variable `OAVC_<SECTION>_<KEY>`, in capitals, dots and hyphens as underscores; many have others
besides. Of those given for one key, the first in its row that is set wins; one that is set to nothing counts as
unset. What an agent says differently has `OAVC_AGENT_<NAME>_<SECTION>_<KEY>`, such as `OAVC_AGENT_SALES_TTS_VOICE`:
[agents.md](agents.md).

A key that nobody knows, or a value that cannot be, stops the start: everything wrong is told at once. A variable
that begins with `OAVC_` and that nobody reads is named in a warning. `oavc check` prints what is in force, where
each value comes from, and all of these. Secrets may be given as `file:/path`, or by a variable whose name ends in
`_FILE`.
"""


def page() -> str:
    parts = [_INTRODUCTION]
    for title, sections in by_process().items():
        parts += [f"## {title}\n", *_sections(sections)]
    return "\n".join(parts)


def by_process() -> dict[str, list[type[Section]]]:
    """Every section, under the process that reads it."""
    own = providers.sections((stage, name) for stage, names in providers.PROVIDERS.items() for name in names)
    found: dict[str, list[type[Section]]] = {"core": [*SECTIONS, *own, AgentSettings]}
    for name in SERVICES:
        process: ServiceProcess = import_module(f"services.{name}.__main__").build({})
        found[f"{name} service"] = list(process.all_sections)
    return found


def _sections(sections: Sequence[type[Section]]) -> Iterable[str]:
    for section in sections:
        rows = [_row(key) for key in describe([section])]
        yield f"### [{section.section}]\n"
        yield table(("key", "type", "default", "environment", "what it does"), rows) + "\n"


def _row(key: KeyDescription) -> tuple[str, ...]:
    default = "required" if key.required else code(key.default)
    unit = f" {key.unit}" if key.unit and key.default else ""
    also = f" Also read from {', '.join(code(alias) for alias in key.aliases)}." if key.aliases else ""
    secret = " Secret." if key.secret else ""
    text = key.help if key.help.endswith(".") else f"{key.help}."
    return (code(key.key), key.type, default + unit, ", ".join(code(name) for name in key.env), text + secret + also)
