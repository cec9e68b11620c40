"""How Twilio and this process find and trust each other, and how patient they are."""

import re
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from services.common.settings import Section, key

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class TwilioSettings(Section):
    section: ClassVar[str] = "twilio"

    account_sid: str = key("", env="TWILIO_ACCOUNT_SID", help="The account; needed for the REST API")
    auth_token: SecretStr | None = key(
        None,
        env="TWILIO_AUTH_TOKEN",
        secret=True,
        help="The account's auth token: it proves that a webhook is Twilio's, and signs the streams' addresses",
    )
    api_key_sid: str = key(
        "", env="TWILIO_API_KEY_SID", help="API key for the REST API; without one the auth token is used"
    )
    api_key_secret: SecretStr | None = key(None, env="TWILIO_API_KEY_SECRET", secret=True, help="Secret of the API key")
    public_url: str = key(
        "",
        env="TWILIO_PUBLIC_URL",
        help="Where Twilio reaches this server, such as https://voice.example.com/oavc; empty to go by"
        " X-Forwarded-Proto, -Host and -Prefix",
    )
    path: str = key("/twilio", env="TWILIO_PATH", help="Path below which the webhooks and streams are served")
    validate_signatures: bool = key(
        True, env="TWILIO_VALIDATE_SIGNATURES", help="Take only webhooks that Twilio signed; off for experiments only"
    )
    replay_window_s: float = key(
        600.0, unit="s", gt=0, le=86400, help="How long a webhook that was taken is not taken again"
    )
    token_lifetime_s: float = key(
        60.0, unit="s", ge=1, le=3600, help="How long after its webhook a call's stream may be opened"
    )
    start_timeout_s: float = key(
        5.0, unit="s", gt=0, le=60, help="How long an open stream may take to say which call it carries"
    )
    media_timeout_s: float = key(
        15.0, unit="s", gt=0, le=600, help="How long a stream may bring no audio before its call is ended"
    )
    send_timeout_s: float = key(
        5.0, unit="s", gt=0, le=60, help="How long Twilio may leave unread what is sent before the call is ended"
    )
    lead_ms: int = key(
        300, unit="ms", ge=60, le=5000, help="Audio that is sent ahead of its time, so that a slow network is not heard"
    )
    mark_overdue_s: float = key(
        2.0, unit="s", gt=0, le=30, help="How long after its time audio counts as played though Twilio did not say so"
    )
    max_message_bytes: int = key(65536, unit="B", ge=1024, le=2**20, help="Longer messages of a stream end it")
    max_malformed: int = key(20, ge=0, le=10000, help="Messages of a stream that make no sense before it is ended")
    api_base_url: str = key(
        "https://api.twilio.com", env="TWILIO_API_BASE_URL", help="Twilio's REST API, or what stands in for it"
    )
    api_timeout_s: float = key(5.0, unit="s", gt=0, le=60, help="How long the REST API may take to answer")
    transfer_timeout_s: int = key(30, unit="s", ge=5, le=600, help="How long the target of a transfer is rung")
    transfer_caller_id: str = key(
        "", env="TWILIO_TRANSFER_CALLER_ID", help="Number that the target of a transfer sees; empty for the caller's"
    )

    @field_validator("public_url", "api_base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"{value!r} is no http or https address")
        return value.rstrip("/")

    @field_validator("path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        value = value.rstrip("/")
        if not _PATH.fullmatch(value):
            raise ValueError(f"{value!r} is no path such as /twilio")
        return value
