"""Transports by the name that settings use."""

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar, cast

from core.transports.base import Host, Transport, TransportFactory
from services.common.settings import ConfigurationError, Section, key

# Name -> module with a `FACTORY`.
_TRANSPORTS = {"opensips": "core.transports.opensips.factory", "twilio": "core.transports.twilio.factory"}


class TransportsSettings(Section):
    """Which ways calls may come in."""

    section: ClassVar[str] = "transports"
    enabled: tuple[str, ...] = key(("opensips",), env="TRANSPORTS", min_length=1, help="Transports, by their names")


def known_transports() -> list[str]:
    return sorted(_TRANSPORTS)


def transport_factory(name: str) -> TransportFactory:
    """The factory of that name.

    Raises:
        ConfigurationError: there is none; the known ones are listed.
    """
    if name not in _TRANSPORTS:
        known = ", ".join(known_transports())
        raise ConfigurationError([f"transports.enabled: unknown transport {name!r}; known are: {known}"])
    return cast(TransportFactory, import_module(_TRANSPORTS[name]).FACTORY)


def sections() -> list[type[Section]]:
    """The sections of all transports: a file may configure one that is not enabled."""
    return [section for name in _TRANSPORTS for section in transport_factory(name).sections]


def check(settings: Mapping[type[Section], Section], places_calls: str | None = None) -> None:
    """Whether the enabled transports can be made.

    Args:
        places_calls: the name of the transport by which calls are to be placed.

    Raises:
        ConfigurationError: every transport that is not known, and whatever the others lack.
    """
    enabled = _enabled(settings)
    problems: list[str] = []
    for name in enabled:
        try:
            problems += transport_factory(name).problems(settings, places_calls=name == places_calls)
        except ConfigurationError as error:
            problems += error.problems
    if places_calls is not None and places_calls not in enabled:
        problems.append(f"outbound.transport: {places_calls!r} is not among transports.enabled")
    if problems:
        raise ConfigurationError(problems)


def build(settings: Mapping[type[Section], Section], host: Host) -> list[Transport]:
    """The transports that the settings enable, not yet running.

    Raises:
        ConfigurationError: a name is not known, or a transport lacks what it needs.
    """
    check(settings)
    return [transport_factory(name).build(settings, host) for name in _enabled(settings)]


def _enabled(settings: Mapping[type[Section], Section]) -> list[str]:
    own = settings[TransportsSettings]
    assert isinstance(own, TransportsSettings)
    return list(dict.fromkeys(own.enabled))
