"""Transports are found by name and made on use."""

import pytest

from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.registry import build, known_transports, transport_factory
from services.common.settings import ConfigurationError, load


async def test_every_known_transport_can_be_made() -> None:
    plane = MediaPlane(MediaSettings())
    for name in known_transports():
        sections = transport_factory(name).sections
        transport = build(name, load(sections, {}, {}), plane)
        assert transport.name == name
        assert not transport.ready
    plane.close()


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'fax'.*opensips"):
        transport_factory("fax")


def test_opensips_says_which_settings_it_reads() -> None:
    assert OpenSipsSettings in transport_factory("opensips").sections
