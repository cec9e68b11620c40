"""Declared settings: every key has a name, type, default, unit, environment override and help, once.

A component declares a `Section`; a process loads the sections of its components from one INI file and the
environment, which wins. Anything unknown or impossible stops the start. Every key has the variable
OAVC_<SECTION>_<KEY>, and those that it declares besides.

    class ServerSettings(Section):
        section = "server"
        port: int = key(50051, env="SERVER_PORT", help="Port to listen on.", ge=0, le=65535)

    loaded = load([ServerSettings], read_ini(Path("app.ini")), os.environ)
    loaded[ServerSettings].port
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pydantic
from pydantic.fields import FieldInfo

from services.common.ini_file import read_ini
from services.common.setting_errors import ConfigurationError
from services.common.setting_values import (
    SettingValueError,
    holds_secret,
    read_secret_file,
    shown,
    structured,
    type_name,
)
from services.common.setting_variables import SECRET_FILE, unread, variable

__all__ = [
    "ConfigurationError",
    "KeyDescription",
    "Loaded",
    "Section",
    "describe",
    "effective",
    "key",
    "load",
    "read_ini",
    "unread_variables",
    "variables_of",
]


class Section(pydantic.BaseModel):
    """The settings of one component: one section of the file. Each key is declared with `key`."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )
    section: ClassVar[str]


S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key carries beyond pydantic's own field."""

    env: tuple[str, ...]
    unit: str
    aliases: tuple[str, ...]
    secret: bool


def key(
    default: Any,
    *,
    env: str | tuple[str, ...] = (),
    unit: str = "",
    help: str,  # noqa: A002  it is what the key's reader sees
    secret: bool = False,
    aliases: tuple[str, ...] = (),
    **constraints: Any,
) -> Any:
    """One key of a section.

    Args:
        default: `...` for a key that must be given.
        env: environment variables that override the file, beside OAVC_<SECTION>_<KEY>, which comes last; the first
            one set wins, an empty one counts as unset.
        secret: never shown. Its type is `pydantic.SecretStr`, its text may be `file:/path`, and for each of its
            variables NAME there is NAME_FILE, which holds such a path.
        aliases: other places in the file, "section.key", read where this one is absent.
        constraints: pydantic's: ge, le, gt, lt, min_length, max_length, pattern...
    """
    names = (env,) if isinstance(env, str) else env
    extra = {"oavc": _Key(names, unit, aliases, secret)}
    # The declaration travels with the field; it never becomes part of a JSON schema.
    return pydantic.Field(default, description=help, json_schema_extra=extra, **constraints)  # type: ignore[arg-type]


class Loaded(Mapping[type[Section], Section]):
    """The sections of a process, each by its class, and where every value came from."""

    def __init__(self, sections: Mapping[type[Section], Section], sources: Mapping[tuple[str, str], str]) -> None:
        self._sections = dict(sections)
        self.sources = dict(sources)
        """(section, key) -> "default", "file" or "env NAME"."""

    def __getitem__(self, section: type[S]) -> S:
        found = self._sections[section]
        assert isinstance(found, section)
        return found

    def __iter__(self) -> Iterator[type[Section]]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


def load(
    sections: Sequence[type[Section]],
    ini: Mapping[str, Mapping[str, str]],
    environ: Mapping[str, str],
    *,
    ignore: Collection[str] = (),
) -> Loaded:
    """Every section, filled from the environment, else the file, else the defaults.

    Args:
        ignore: names in the file that are someone else's: "section", "section.key", or "*" for all other sections.

    Raises:
        ConfigurationError: with every problem found, not just the first.
    """
    problems = _unknown_names(sections, ini, ignore)
    values: dict[type[Section], Section] = {}
    sources: dict[tuple[str, str], str] = {}
    for section in sections:
        loaded = _load_section(section, ini, environ, sources, problems)
        if loaded is not None:
            values[section] = loaded
    if problems:
        raise ConfigurationError(problems)
    return Loaded(values, sources)


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """One row of the reference of settings. `default` is as it would stand in the file, "" for none."""

    section: str
    key: str
    type: str
    default: str
    unit: str
    env: tuple[str, ...]
    help: str
    secret: bool = False
    required: bool = False
    aliases: tuple[str, ...] = ()


def describe(sections: Sequence[type[Section]]) -> Iterator[KeyDescription]:
    """Every declared key, in the order of declaration."""
    for section in sections:
        for name, field in section.model_fields.items():
            declared = _declared(field)
            yield KeyDescription(
                section=section.section,
                key=name,
                type=type_name(field.annotation),
                default="" if field.is_required() else shown(field.get_default(call_default_factory=True)),
                unit=declared.unit,
                env=_environment(section.section, name, field),
                help=field.description or "",
                secret=_is_secret(field),
                required=field.is_required(),
                aliases=declared.aliases,
            )


def variables_of(keys: Iterable[KeyDescription]) -> Iterator[str]:
    """Every environment variable that is read for one of the keys."""
    for each in keys:
        yield from each.env
        if each.secret:
            yield from (f"{name}{SECRET_FILE}" for name in each.env)


def unread_variables(sections: Sequence[type[Section]], environ: Mapping[str, str]) -> list[str]:
    """What is told of each variable that looks like a key's of these sections, and is none's."""
    mine = tuple(f"{variable(section.section)}_" for section in sections)
    candidates = {name: text for name, text in environ.items() if name.startswith(mine)}
    return unread(candidates, set(variables_of(describe(sections))), others=())


def effective(loaded: Loaded) -> str:
    """The configuration in force as an INI file, comments saying where each value came from; secrets masked."""
    lines: list[str] = []
    for section, values in loaded.items():
        lines.append(f"[{section.section}]")
        for name, field in section.model_fields.items():
            value = getattr(values, name)
            text = "********" if _is_secret(field) and value is not None else shown(value)
            lines.append(f"{name} = {text}".rstrip() + f"  # {loaded.sources[section.section, name]}")
        lines.append("")
    return "\n".join(lines)


def _declared(field: FieldInfo) -> _Key:
    extra = field.json_schema_extra
    found = extra.get("oavc") if isinstance(extra, dict) else None
    return found if isinstance(found, _Key) else _Key((), "", (), secret=False)


def _environment(section: str, name: str, field: FieldInfo) -> tuple[str, ...]:
    """The variables of a key, in the order in which they are asked."""
    return tuple(dict.fromkeys((*_declared(field).env, variable(section, name))))


def _is_secret(field: FieldInfo) -> bool:
    return _declared(field).secret or holds_secret(field.annotation)


def _unknown_names(
    sections: Sequence[type[Section]], ini: Mapping[str, Mapping[str, str]], ignore: Collection[str]
) -> list[str]:
    known: dict[str, set[str]] = {}
    aliases: set[str] = set()
    for section in sections:
        known.setdefault(section.section, set()).update(section.model_fields)
        for field in section.model_fields.values():
            aliases.update(_declared(field).aliases)
    alias_sections = {alias.rpartition(".")[0] for alias in aliases}
    problems = []
    for name, keys in ini.items():
        if name in ignore:
            continue
        if name not in known and name not in alias_sections:
            if "*" not in ignore:
                problems.append(f"[{name}]: unknown section{_suggestion(name, known)}")
            continue
        for each in keys:
            accepted = each in known.get(name, ()) or f"{name}.{each}" in aliases or f"{name}.{each}" in ignore
            # A section that is known only by an alias is another component's.
            foreign = name not in known and "*" in ignore
            if not accepted and not foreign:
                problems.append(f"{name}.{each}: unknown key{_suggestion(each, known.get(name, ()))}")
    return problems


def _suggestion(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _load_section(
    section: type[Section],
    ini: Mapping[str, Mapping[str, str]],
    environ: Mapping[str, str],
    sources: dict[tuple[str, str], str],
    problems: list[str],
) -> Section | None:
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    failed: set[str] = set()
    for name, field in section.model_fields.items():
        where = (section.section, name)
        sources[where] = "default"
        try:
            found = _find(section.section, name, field, ini, environ)
            if found is None:
                continue
            text, sources[where] = found
            texts[name] = text
            values[name] = structured(text, field.annotation)
        except SettingValueError as error:
            failed.add(name)
            problems.append(f"{_label(where, error.source or sources[where])}: {error}")
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            loc = each["loc"]
            name = str(loc[0]) if loc else ""
            if name in failed:
                continue
            if not name:
                problems.append(f"{section.section}: {_message(each['msg'])}")
            elif each["type"] == "missing":
                problems.append(_missing(section, name))
            else:
                problems.append(
                    f"{_label((section.section, name), sources[section.section, name])}: {_message(each['msg'])}"
                    + _given(texts.get(name), section.model_fields[name])
                )
        return None


def _find(
    section: str,
    name: str,
    field: FieldInfo,
    ini: Mapping[str, Mapping[str, str]],
    environ: Mapping[str, str],
) -> tuple[str, str] | None:
    """The text of a value and its source."""
    declared = _declared(field)
    secret = _is_secret(field)
    for known in _environment(section, name, field):
        if environ.get(known, "") != "":
            text, source = environ[known], f"env {known}"
            return read_secret_file(text, source) if secret else (text, source)
        file = f"{known}{SECRET_FILE}"
        if secret and environ.get(file, "") != "":
            return read_secret_file("file:" + environ[file], f"env {file}")
    for place in (f"{section}.{name}", *declared.aliases):
        place_section, _, place_key = place.rpartition(".")
        if place_key in ini.get(place_section, {}):
            text = ini[place_section][place_key]
            source = "file" if place == f"{section}.{name}" else f"file {place}"
            return read_secret_file(text, source) if secret else (text, source)
    return None


def _label(where: tuple[str, str], source: str) -> str:
    name = ".".join(where)
    return name if source in {"default", "file"} else f"{name} ({source.removeprefix('env ').removeprefix('file ')})"


def _missing(section: type[Section], name: str) -> str:
    env = _environment(section.section, name, section.model_fields[name])
    return f"{section.section}.{name}: required; set it in [{section.section}] or {env[0]}"


def _message(text: str) -> str:
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text[:1].lower() + text[1:]


def _given(text: str | None, field: FieldInfo) -> str:
    return "" if text is None or _is_secret(field) else f", not {text!r}"
