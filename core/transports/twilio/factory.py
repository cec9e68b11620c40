"""Makes the Twilio transport from its settings."""

from collections.abc import Mapping, Sequence

from core.transports.base import Host, Transport, TransportFactory
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.settings import TwilioSettings
from services.common.settings import ConfigurationError, Section


class TwilioFactory:
    sections: Sequence[type[Section]] = (TwilioSettings,)

    def problems(self, settings: Mapping[type[Section], Section], *, places_calls: bool) -> list[str]:
        own = _own(settings)
        lacking = [
            (
                own.validate_signatures and own.auth_token is None,
                "auth_token (TWILIO_AUTH_TOKEN or TWILIO_AUTH_TOKEN_FILE): needed to check Twilio's signatures",
            ),
            (
                own.api_key_sid and own.api_key_secret is None,
                "api_key_secret (TWILIO_API_KEY_SECRET): needed beside twilio.api_key_sid",
            ),
            (
                own.api_key_secret is not None and not own.api_key_sid,
                "api_key_sid (TWILIO_API_KEY_SID): needed beside twilio.api_key_secret",
            ),
            (
                own.api_key_sid and not own.account_sid,
                "account_sid (TWILIO_ACCOUNT_SID): needed beside twilio.api_key_sid",
            ),
            (
                places_calls and not (own.api_key_sid or own.account_sid),
                "account_sid (TWILIO_ACCOUNT_SID): needed to place calls",
            ),
            (
                places_calls and own.api_key_secret is None and own.auth_token is None and not own.validate_signatures,
                "auth_token (TWILIO_AUTH_TOKEN or TWILIO_AUTH_TOKEN_FILE): needed to place calls",
            ),
            (places_calls and not own.public_url, "public_url (TWILIO_PUBLIC_URL): needed to place calls"),
        ]
        return [f"twilio.{problem}" for lacks, problem in lacking if lacks]

    def build(self, settings: Mapping[type[Section], Section], host: Host) -> Transport:
        problems = self.problems(settings, places_calls=False)
        if problems:
            raise ConfigurationError(problems)
        try:
            from core.transports.twilio.transport import TwilioTransport
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "twilio":
                raise
            raise ConfigurationError(
                ["transports.enabled: twilio needs the extra `twilio`, which is not installed"]
            ) from error
        own = _own(settings)
        return TwilioTransport(own, host.admission, _control(own), host.placed_call_over)


def _own(settings: Mapping[type[Section], Section]) -> TwilioSettings:
    own = settings[TwilioSettings]
    assert isinstance(own, TwilioSettings)
    return own


def _control(settings: TwilioSettings) -> CallControl | None:
    """None without an account to use: calls can then be taken and ended, but neither transferred nor placed."""
    secret = settings.api_key_secret or settings.auth_token
    if not settings.account_sid or secret is None:
        return None
    from core.transports.twilio.calls_api import TwilioCalls

    username = settings.api_key_sid or settings.account_sid
    return TwilioCalls(
        settings.account_sid, username, secret.get_secret_value(), settings.api_base_url, settings.api_timeout_s
    )


FACTORY: TransportFactory = TwilioFactory()
