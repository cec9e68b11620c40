"""Files and environments of existing deployments are understood."""

import pytest

from core.media.settings import MediaSettings
from core.transports.opensips.settings import OpenSipsSettings
from services.common.settings import ConfigurationError, load


def loaded(ini: dict[str, dict[str, str]], environ: dict[str, str] | None = None) -> OpenSipsSettings:
    return load([OpenSipsSettings, MediaSettings], ini, environ or {})[OpenSipsSettings]


def test_own_file_form() -> None:
    keys = {"event_ip": "127.0.0.1", "event_port": "8091", "sip_ip": "0.0.0.0", "sip_port": "8089"}
    ports = {"rtp_bind_ip": "0.0.0.0", "rtp_min_port": "35000", "rtp_max_port": "35100"}
    settings = loaded({"opensips": keys | ports})
    assert (settings.event_ip, settings.event_port, settings.mi_port) == ("127.0.0.1", 8091, 8080)


def test_upstream_connectors_file_form() -> None:
    settings = loaded(
        {
            "opensips": {"ip": "10.0.0.1", "port": "8081"},
            "engine": {"event_ip": "10.0.0.2", "event_port": "9000"},
            "rtp": {"min_port": "35000", "max_port": "65000", "bind_ip": "0.0.0.0", "ip": "203.0.113.7"},
        }
    )
    assert (settings.mi_ip, settings.mi_port) == ("10.0.0.1", 8081)
    assert (settings.event_ip, settings.event_port) == ("10.0.0.2", 9000)
    assert settings.advertised_ip == "203.0.113.7"


@pytest.mark.parametrize(
    ("environ", "key", "value"),
    [
        ({"MI_IP": "opensips"}, "mi_ip", "opensips"),
        ({"MI_PORT": "8082"}, "mi_port", 8082),
        ({"OPENSIPS_EVENT_IP": "127.0.0.1", "EVENT_IP": "127.0.0.2"}, "event_ip", "127.0.0.1"),
        ({"EVENT_PORT": "0"}, "event_port", 0),
        ({"OPENSIPS_SIP_PORT": "5070"}, "sip_port", 5070),
        ({"RTP_IP": "192.0.2.1"}, "advertised_ip", "192.0.2.1"),
    ],
)
def test_environment_wins(environ: dict[str, str], key: str, value: object) -> None:
    assert getattr(loaded({"opensips": {"event_ip": "0.0.0.0"}}, environ), key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [("event_ip", "localhost"), ("advertised_ip", "::1"), ("codecs", "PCMU, MP3"), ("codecs", ""), ("mi_port", "0")],
)
def test_impossible_values_stop_the_start(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"opensips.{key}"):
        loaded({"opensips": {key: value}})


def test_a_connector_that_died_costs_callers_seconds_and_a_lost_renewal_none() -> None:
    settings = loaded({})
    assert settings.subscription_expire_s <= 10
    assert settings.subscription_expire_s > 2 * settings.subscription_refresh_s + settings.watch_interval_s
