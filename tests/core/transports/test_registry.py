"""Transports are found by name and made on use."""

import pytest

from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.transports.base import Host
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.registry import (
    TransportsSettings,
    build,
    check,
    known_transports,
    sections,
    transport_factory,
)
from services.common.settings import ConfigurationError, load

# What a transport cannot be made without.
NEEDED = {"twilio": {"auth_token": "not a secret"}}


@pytest.mark.parametrize("name", known_transports())
async def test_every_known_transport_can_be_made(name: str) -> None:
    plane = MediaPlane(MediaSettings())
    ini = {"transports": {"enabled": name}, name: NEEDED.get(name, {})}
    [transport] = build(load((TransportsSettings, *sections()), ini, {}), Host(plane, lambda: None))
    assert transport.name == name
    assert not transport.ready
    plane.close()


def test_opensips_alone_is_the_default() -> None:
    assert load([TransportsSettings], {}, {})[TransportsSettings].enabled == ("opensips",)


def test_every_unknown_name_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)'fax'.*opensips.*'telex'"):
        check(TransportsSettings(enabled=("opensips", "fax", "telex")))


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'fax'.*opensips"):
        transport_factory("fax")


def test_opensips_says_which_settings_it_reads() -> None:
    assert OpenSipsSettings in transport_factory("opensips").sections
