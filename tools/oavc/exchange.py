"""What stands between the caller in the box and core: OpenSIPS, Twilio, or both, and a line through each."""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tools.caller.line import Line
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.sip_line import SipLine
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_line import TwilioLine
from tools.caller.wire import Wire
from tools.oavc.layouts import TwilioAccount

TRANSPORTS: Mapping[str, Sequence[str]] = {
    "opensips": ("opensips",),
    "twilio": ("twilio",),
    "both": ("opensips", "twilio"),
}
_SUBSCRIBED_TIMEOUT_S = 30.0


class Exchange:
    """Up from entry to exit; the lines are there once core is."""

    def __init__(self, transports: Sequence[str]) -> None:
        self._opensips = OpenSipsStandIn() if "opensips" in transports else None
        # An account of its own each time: nobody else's requests can be signed for it.
        sid, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
        self._twilio = TwilioStandIn(sid, token) if "twilio" in transports else None
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            if self._opensips is not None:
                await self._opensips.start()
                self._opened.push_async_callback(self._opensips.stop)
            if self._twilio is not None:
                await self._opened.enter_async_context(self._twilio)
        except BaseException:
            await self._opened.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    @property
    def mi_port(self) -> int | None:
        return None if self._opensips is None else self._opensips.mi_port

    @property
    def account(self) -> TwilioAccount | None:
        twilio = self._twilio
        return None if twilio is None else TwilioAccount(twilio.account_sid, twilio.auth_token, twilio.rest.url)

    async def lines(self, core_url: str) -> list[Line]:
        """A line through each, to the core whose HTTP server is there.

        Raises:
            TimeoutError: core does not ask OpenSIPS for calls.
        """
        lines: list[Line] = []
        if self._opensips is not None:
            await self._opensips.wait_subscribed(_SUBSCRIBED_TIMEOUT_S)
            lines.append(SipLine(self._opensips, self._opened.enter_context(Wire())))
        if self._twilio is not None:
            wire = self._opened.enter_context(StreamWire())
            lines.append(TwilioLine(self._twilio, wire, AgentAddress(core_url)))
        return lines
