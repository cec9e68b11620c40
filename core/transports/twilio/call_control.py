"""What the transport asks of Twilio's REST API: a stream carries audio, everything else about a call is done there."""

from typing import Protocol


class CallControl(Protocol):
    """Twilio's calls by their SID, changed from outside.

    Each method but `close` raises:
        SignallingTimeout: Twilio did not answer in time; whether it did what was asked is not known.
        SignallingRefused: Twilio answered with an error; `code` is Twilio's own, `reason` names no number.
        SignallingError: Twilio was not reached, or what answered is not Twilio.
    """

    async def hang_up(self, call_sid: str) -> None:
        """Ends a call, whether it rings or talks. Harmless when it has ended."""

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Ends the call's stream, and has the call go on with these instructions."""

    async def place(self, called: str, caller: str, voice_url: str, status_url: str) -> str:
        """Calls a number or SIP URI from one of the account's numbers; returns the SID of the call.

        Args:
            voice_url: asked for instructions once the call is answered.
            status_url: told when the call has ended, whether or not it was answered; "" for nowhere.
        """

    async def close(self) -> None:
        """Closes the connections that are kept open. Harmless when repeated. Never raises."""
