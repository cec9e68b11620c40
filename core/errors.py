"""What can go wrong, as one tree.

    ConnectorError
    ├── ConfigurationError        the operator: a setting that cannot be right (services.common.settings)
    ├── CallRefused               the call is answered with `sip_status`, and never begins
    │   ├── OfferRejected         the caller's: an offer that names nothing we speak (400, 415, 488)
    │   ├── Busy                  ours: as many calls as allowed, retry later (503)
    │   ├── Draining              ours: this process is ending, another one answers (503)
    │   └── PortsExhausted        ours: every RTP port is taken or still in quarantine (503)
    ├── OutboundRefused           a call is not placed: `http_status` says why
    ├── CallEnded                 the leg is gone: nothing more can be played, sent or transferred
    ├── TransferFailed            the far end refused or did not answer the transfer; the call goes on
    ├── ProviderError             recogniser, model or voice
    │   ├── ProviderUnavailable   not reached, restarting, or out of capacity: retryable
    │   ├── ProviderTimeout       slower than its budget: retryable
    │   └── ProviderRejected      it refused what we sent: the same request would fail again
    └── SignallingError           OpenSIPS or Twilio did not do what it was asked
        ├── SignallingTimeout     no answer: retryable where the command may be repeated
        └── SignallingRefused     the answer is an error: `code` and `reason` are its own

Each says what failed; the call it failed for is in the log record's `call_id`.
"""


class ConnectorError(Exception):
    """The root of every error of this process' own."""

    retryable = False


class CallRefused(ConnectorError):
    """The call is not taken.

    Attributes:
        sip_status: final reply of 300 or more (RFC 3261 21).
        reason: its reason phrase, free of CR and LF.
        retry_after_s: when the caller may try again, for a 503.
    """

    def __init__(self, sip_status: int, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(f"{sip_status} {reason}")
        self.sip_status = sip_status
        self.reason = reason
        self.retry_after_s = retry_after_s


class OfferRejected(CallRefused):
    """The offer cannot be answered: 400 malformed, 415 not SDP, 488 nothing in common."""


class Busy(CallRefused):
    """As many calls as the limits allow are up."""

    retryable = True

    def __init__(self, reason: str = "All lines are busy", retry_after_s: int | None = 10) -> None:
        super().__init__(503, reason, retry_after_s)


class Draining(CallRefused):
    """The process is ending: calls that are up go on, new ones go elsewhere."""

    retryable = True

    def __init__(self, reason: str = "Shutting down", retry_after_s: int | None = 30) -> None:
        super().__init__(503, reason, retry_after_s)


class PortsExhausted(CallRefused):
    """No RTP port is free."""

    retryable = True

    def __init__(self, reason: str = "No media port is free", retry_after_s: int | None = 10) -> None:
        super().__init__(503, reason, retry_after_s)


class OutboundRefused(ConnectorError):
    """A call is not placed.

    Attributes:
        http_status: of the answer to whoever asked for it (RFC 9110 15).
        reason: what stands against it; names no number.
        retry_after_s: when it may be asked for again, where time alone helps.
    """

    def __init__(self, http_status: int, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(f"{http_status} {reason}")
        self.http_status = http_status
        self.reason = reason
        self.retry_after_s = retry_after_s


class CallEnded(ConnectorError):
    """The leg is gone."""


class TransferFailed(ConnectorError):
    """The transfer did not happen, and the caller is still on the line."""


class ProviderError(ConnectorError):
    """A recogniser, a language model or a voice failed.

    Attributes:
        provider: its name in the settings, such as "grpc".
    """

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider = provider


class ProviderUnavailable(ProviderError):
    """Not reached, restarting, or out of capacity."""

    retryable = True


class ProviderTimeout(ProviderError):
    """Slower than its budget."""

    retryable = True


class ProviderRejected(ProviderError):
    """It refused the request itself."""


class SignallingError(ConnectorError):
    """OpenSIPS or Twilio did not do what it was asked."""


class SignallingTimeout(SignallingError):
    """No answer came."""

    retryable = True


class SignallingRefused(SignallingError):
    """A command was answered with an error."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        super().__init__(f"{method}: {code} {reason}")
        self.method = method
        self.code = code
        self.reason = reason
