"""Makes the Twilio transport from its settings."""

from collections.abc import Mapping, Sequence

from core.transports.base import Host, Transport, TransportFactory
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.settings import TwilioSettings
from services.common.settings import ConfigurationError, Section


class TwilioFactory:
    sections: Sequence[type[Section]] = (TwilioSettings,)

    def build(self, settings: Mapping[type[Section], Section], host: Host) -> Transport:
        own = settings[TwilioSettings]
        assert isinstance(own, TwilioSettings)
        _check(own)
        try:
            from core.transports.twilio.transport import TwilioTransport
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "twilio":
                raise
            raise ConfigurationError(
                ["transports.enabled: twilio needs the extra `twilio`, which is not installed"]
            ) from error
        return TwilioTransport(own, host.admission, _control(own))


def _check(settings: TwilioSettings) -> None:
    problems = []
    if settings.validate_signatures and settings.auth_token is None:
        problems.append(
            "twilio.auth_token (TWILIO_AUTH_TOKEN or TWILIO_AUTH_TOKEN_FILE): needed to check Twilio's signatures"
        )
    if settings.api_key_sid and settings.api_key_secret is None:
        problems.append("twilio.api_key_secret (TWILIO_API_KEY_SECRET): needed beside twilio.api_key_sid")
    if settings.api_key_secret is not None and not settings.api_key_sid:
        problems.append("twilio.api_key_sid (TWILIO_API_KEY_SID): needed beside twilio.api_key_secret")
    if settings.api_key_sid and not settings.account_sid:
        problems.append("twilio.account_sid (TWILIO_ACCOUNT_SID): needed beside twilio.api_key_sid")
    if problems:
        raise ConfigurationError(problems)


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
