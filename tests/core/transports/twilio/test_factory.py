"""What is missing or impossible stops the start, and names the key."""

import pytest

from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.transports.base import Host, Transport
from core.transports.twilio.factory import FACTORY
from core.transports.twilio.settings import TwilioSettings
from services.common.settings import ConfigurationError, effective, load


def build(keys: dict[str, str], environ: dict[str, str] | None = None) -> Transport:
    plane = MediaPlane(MediaSettings())
    try:
        return FACTORY.build(load([TwilioSettings], {"twilio": keys}, environ or {}), Host(plane, lambda: None))
    finally:
        plane.close()


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, r"twilio\.auth_token \(TWILIO_AUTH_TOKEN"),
        ({"auth_token": "x", "account_sid": "AC1", "api_key_sid": "SK1"}, r"twilio\.api_key_secret"),
        ({"auth_token": "x", "api_key_secret": "s"}, r"twilio\.api_key_sid"),
        ({"auth_token": "x", "api_key_sid": "SK1", "api_key_secret": "s"}, r"twilio\.account_sid"),
        ({"auth_token": "x", "public_url": "voice.example.com"}, r"twilio\.public_url"),
        ({"auth_token": "x", "public_url": "https://h/?a=1"}, r"twilio\.public_url"),
        ({"auth_token": "x", "path": "twilio"}, r"twilio\.path"),
        ({"auth_token": "x", "path": "/"}, r"twilio\.path"),
    ],
)
def test_what_is_missing_or_impossible_is_named(keys: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        build(keys)


async def test_environment_alone_is_enough(tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("secrets") / "token"
    secret.write_text("not a secret\n")
    transport = build({}, {"TWILIO_AUTH_TOKEN_FILE": str(secret), "TWILIO_ACCOUNT_SID": "AC1"})
    assert transport.name == "twilio"
    assert not transport.ready


async def test_without_signatures_nothing_is_needed() -> None:
    assert build({"validate_signatures": "false"}).name == "twilio"


def test_secrets_are_not_shown() -> None:
    loaded = load([TwilioSettings], {"twilio": {"auth_token": "hidden-1", "api_key_secret": "hidden-2"}}, {})
    assert "hidden" not in effective(loaded) + repr(loaded[TwilioSettings])
