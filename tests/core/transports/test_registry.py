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
        check(load((TransportsSettings, *sections()), {"transports": {"enabled": "opensips, fax, telex"}}, {}))


@pytest.mark.parametrize(
    ("enabled", "by", "problem"),
    [
        ("twilio", "twilio", r"(?s)twilio\.account_sid \(TWILIO_ACCOUNT_SID\).*twilio\.public_url"),
        ("opensips", "twilio", r"outbound\.transport: 'twilio' is not among transports\.enabled"),
        ("opensips", "opensips", r"outbound\.transport: 'opensips' cannot place calls"),
    ],
)
def test_whatever_stands_against_placing_calls_is_named(enabled: str, by: str, problem: str) -> None:
    ini = {"transports": {"enabled": enabled}, "twilio": NEEDED["twilio"]}
    settings = load((TransportsSettings, *sections()), ini, {})
    check(settings)
    with pytest.raises(ConfigurationError, match=problem):
        check(settings, by)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'fax'.*opensips"):
        transport_factory("fax")


def test_opensips_says_which_settings_it_reads() -> None:
    assert OpenSipsSettings in transport_factory("opensips").sections
