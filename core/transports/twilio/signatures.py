"""Whether a webhook is Twilio's own, and new (twilio.com/docs/usage/security)."""

from collections.abc import Callable

from multidict import MultiMapping
from twilio.request_validator import RequestValidator, get_signature_algorithm

from core.transports.twilio.replay import SeenOnce

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
_SIGNATURE_CHARS_MAX = 128
_REMEMBERED_CAPACITY = 20_000


class SignatureRefused(ValueError):
    """The request is not taken. `reason` is one word, for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignatureCheck:
    """Takes each of Twilio's requests once.

    Args:
        replay_window_s: how long a request is remembered.
        clock: monotonic seconds.
    """

    def __init__(self, auth_token: str, replay_window_s: float, clock: Callable[[], float]) -> None:
        self._validator = RequestValidator(auth_token)
        self._replay_window_s = replay_window_s
        self._clock = clock
        self._accepted = SeenOnce(_REMEMBERED_CAPACITY)

    def check(self, url: str, headers: MultiMapping[str], form: MultiMapping[str], body: str) -> None:
        """Returns if the request may be taken.

        Args:
            url: as Twilio asked for it, query and all.
            form: the parameters of a form's body, empty for none.
            body: what `bodySHA256` in the URL is the hash of, where the body is no form.

        Raises:
            SignatureRefused: the signature is missing, wrong, or was accepted before.
        """
        signature = headers.get(SIGNATURE_HEADER, "")
        if not signature:
            raise SignatureRefused("signature_missing")
        if len(signature) > _SIGNATURE_CHARS_MAX or not signature.isascii():
            raise SignatureRefused("signature_wrong")
        algorithm = get_signature_algorithm(headers.get(SETTINGS_HEADER, ""))
        try:
            # The validator takes a text for the body of a JSON request, and hashes it only where the URL says so.
            signed = body if not form and "bodySHA256=" in url else form
            valid = self._validator.validate(url, signed, signature, algorithm)
        except ValueError:
            # A port that is none, in a host that the request named.
            valid = False
        if not valid:
            raise SignatureRefused("signature_wrong")
        now_s = self._clock()
        if not self._accepted.first_time(signature, now_s, now_s + self._replay_window_s):
            raise SignatureRefused("signature_replayed")
