"""One call that Twilio carries, from its webhook to its status callback."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from tools.caller.ear import Ear
from tools.caller.line import CallNotUpError, LineError
from tools.caller.stream_phone import StreamPhone
from tools.caller.stream_socket import StreamRefusedError, open_socket
from tools.caller.stream_wire import Stream, StreamWire
from tools.caller.trace import Trace
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twiml import ConnectStream, Dial, PlayDigits, Reject, TwimlError, Verb, parse_twiml

_CONNECT_TIMEOUT_S = 5.0
# <Play digits> presses two keys a second; a "w" among them is a pause of as long.
_DIGIT_S = 0.5
# What a caller whose call is refused would be told in SIP.
_BUSY, _DECLINED, _UNAVAILABLE = 486, 603, 503


class TwilioCall:
    """One call.

    Attributes:
        sid: Twilio's name of it.
        digits: what the agent had Twilio press.
        transferred_to: whom the agent had Twilio call instead, "" where it did not.
    """

    def __init__(
        self,
        twilio: TwilioStandIn,
        wire: StreamWire,
        agent: AgentAddress,
        phone: StreamPhone,
        caller: str,
        called: str,
    ) -> None:
        self._twilio = twilio
        self._wire = wire
        self._agent = agent
        self._phone = phone
        self._caller = caller
        self._called = called
        self._stream: Stream | None = None
        self._redirecting = False
        self._over = False
        self._status = "completed"
        self._status_told = False
        self.sid = f"CA{secrets.token_hex(16)}"
        self.digits = ""
        self.transferred_to = ""
        twilio.calls[self.sid] = self
        twilio.rest.add_call(self.sid, caller, called, status="ringing")

    @property
    def trace(self) -> Trace:
        return self._phone.trace

    @property
    def ear(self) -> Ear:
        return self._phone.ear

    @property
    def busy(self) -> bool:
        return self._phone.busy

    @property
    def hung_up(self) -> bool:
        if self._redirecting:
            return False
        return self._over or (self._stream is not None and self._stream.ended)

    async def answered(self, within_s: float) -> int:
        self._status = "failed"
        self.trace.invited_ns = time.time_ns()
        try:
            async with asyncio.timeout(within_s):
                verbs = await self._ask(self._agent.webhook("voice"), {"CallStatus": "ringing"})
                self.trace.replied_ns = time.time_ns()
                self._twilio.rest.set_status(self.sid, "in-progress")
                await self._follow(verbs)
        except TimeoutError:
            raise CallNotUpError(f"the call was not up within {within_s:g} s") from None
        except StreamRefusedError as error:
            raise CallNotUpError(f"the stream was refused: {error}", _UNAVAILABLE) from error
        except (OSError, ValueError) as error:
            raise CallNotUpError(f"the call was refused: {error}", _UNAVAILABLE) from error
        if self._stream is None:
            raise CallNotUpError("the call was ended at once", _DECLINED)
        self._status = "completed"
        return 200

    def say(self, pcm: bytes, utterance: int) -> None:
        self._phone.say(pcm, utterance)

    async def press(self, digits: str, _by: Literal["rfc4733", "info"]) -> None:
        """However the phone sends them, Twilio tells of them in the same way."""
        self._phone.press(digits)

    async def hold(self, _direction: Literal["sendonly", "inactive"]) -> None:
        """The stream goes on, silent: Twilio does not tell of it."""
        self._phone.sending = False

    async def resume(self) -> None:
        self._phone.sending = True

    def fall_silent(self) -> None:
        self._phone.sending = False

    async def hang_up(self) -> None:
        self._end()
        await self._tell_status()

    async def close(self) -> None:
        self._end()
        try:
            await self._tell_status()
        except LineError:
            # A call that is refused ends with the agent not there; the record tells so.
            return

    def updated(self, params: Mapping[str, str]) -> None:
        """The agent changes the call by the REST API."""
        if params.get("Status") in ("completed", "canceled"):
            self._end()
        elif "Twiml" in params:
            self._redirecting = True
            self._leave_stream()
            self._twilio.spawn(self._redirect(params["Twiml"]))

    async def _redirect(self, twiml: str) -> None:
        try:
            await self._follow(parse_twiml(twiml))
        except (LineError, OSError, StreamRefusedError, ValueError):
            self._end()
        finally:
            self._redirecting = False

    async def _follow(self, verbs: Iterable[Verb]) -> None:
        """Does as told, up to a stream, or to the end of the call."""
        for verb in verbs:
            match verb:
                case ConnectStream():
                    await self._connect(verb)
                    return
                case PlayDigits():
                    self.digits += verb.digits
                    await asyncio.sleep(_DIGIT_S * len(verb.digits))
                case Dial():
                    self.transferred_to = verb.target
                    if verb.action:
                        await self._follow(await self._ask(verb.action, {"DialCallStatus": self._twilio.dial_status}))
                        return
                case Reject():
                    self._status = "busy"
                    status = _BUSY if verb.reason == "busy" else _DECLINED
                    raise CallNotUpError(f"the call was refused: {status} {verb.reason}", status)
                case _:
                    break
        self._end()

    async def _connect(self, verb: ConnectStream) -> None:
        reached = urlsplit(self._agent.reached(verb.url))
        headers = {
            "X-Twilio-Signature": self._twilio.signature(verb.url, {}),
            "User-Agent": "Twilio.TmeWs/1.0",
            **self._twilio.forwarded(verb.url),
        }
        host, port = reached.hostname or "", reached.port or 80
        web_socket = await open_socket(reached.geturl(), host, port, headers, _CONNECT_TIMEOUT_S)
        if self._over:
            web_socket.close()
            return
        stream_sid = f"MZ{secrets.token_hex(16)}"
        self._phone.begin(self._twilio.account_sid, self.sid, stream_sid, verb.parameters, time.time_ns())
        self._stream = self._wire.open(self._phone, web_socket)

    async def _ask(self, url: str, fields: Mapping[str, str]) -> list[Verb]:
        """What the agent wants done.

        Raises:
            OSError: nobody answers, or with an error.
            ValueError: the answer, or the address, is none that Twilio would take.
        """
        status, text = await self._twilio.post(self._agent, url, self._fields(fields))
        if status != 200:
            raise OSError(f"the webhook was answered {status}")
        try:
            return parse_twiml(text)
        except TwimlError as error:
            raise TwimlError(f"the webhook was answered by no TwiML: {error}") from error

    async def _tell_status(self) -> None:
        """Raises LineError where the agent does not take it."""
        if self._status_told:
            return
        self._status_told = True
        self._twilio.rest.set_status(self.sid, self._status)
        try:
            fields = self._fields({"CallStatus": self._status, "CallDuration": "1"})
            answer, _ = await self._twilio.post(self._agent, self._agent.webhook("status"), fields)
        except (OSError, ValueError) as error:
            raise LineError(f"the status callback was not taken: {error}") from error
        if answer >= 300:
            raise LineError(f"the status callback was answered {answer}")

    def _fields(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "CallSid": self.sid,
            "AccountSid": self._twilio.account_sid,
            "ApiVersion": "2010-04-01",
            "Direction": "inbound",
            "CallStatus": "in-progress",
            "From": self._caller,
            "Caller": self._caller,
            "To": self._called,
            "Called": self._called,
            **more,
        }

    def _leave_stream(self) -> None:
        if self._stream is not None:
            self._wire.close(self._stream)

    def _end(self) -> None:
        self._over = True
        self._leave_stream()
