"""Transports by the name that settings use, each imported when it is asked for."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from core.leg import Transport
from core.media.plane import MediaPlane
from services.common.settings import ConfigurationError, Section

# Name -> module with a `FACTORY`.
_TRANSPORTS = {"opensips": "core.transports.opensips.factory"}


class TransportFactory(Protocol):
    """How one transport is configured and made."""

    @property
    def sections(self) -> Sequence[type[Section]]:
        """What it reads of the settings."""

    def build(self, settings: Mapping[type[Section], Section], plane: MediaPlane) -> Transport:
        """The transport, not yet running."""


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


def build(name: str, settings: Mapping[type[Section], Section], plane: MediaPlane) -> Transport:
    """The transport of that name, not yet running.

    Raises:
        ConfigurationError: there is none of that name.
    """
    return transport_factory(name).build(settings, plane)
