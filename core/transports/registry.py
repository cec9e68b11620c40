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


def check(settings: TransportsSettings) -> None:
    """Raises ConfigurationError that names every transport that is not known, and those that are."""
    problems: list[str] = []
    for name in settings.enabled:
        try:
            transport_factory(name)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)


def build(settings: Mapping[type[Section], Section], host: Host) -> list[Transport]:
    """The transports that the settings enable, not yet running.

    Raises:
        ConfigurationError: a name is not known, or a transport lacks what it needs.
    """
    own = settings[TransportsSettings]
    assert isinstance(own, TransportsSettings)
    check(own)
    return [transport_factory(name).build(settings, host) for name in dict.fromkeys(own.enabled)]
