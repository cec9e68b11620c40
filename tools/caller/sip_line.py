"""A phone behind OpenSIPS: signalling through the stand-in, media as RTP on a wire of its own."""

import time
from typing import Literal

from tools.caller.ear import Ear
from tools.caller.line import CallNotUpError, LineError
from tools.caller.offer import AnswerError, make_offer, read_answer
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.phone import Phone
from tools.caller.script import CallScript
from tools.caller.sip_call import SipCall
from tools.caller.trace import Trace
from tools.caller.wire import Wire

_REQUEST_TIMEOUT_S = 5.0


class SipLine:
    """Places calls with the connector that has subscribed."""

    transport = "opensips"

    def __init__(self, opensips: OpenSipsStandIn, wire: Wire) -> None:
        self._opensips = opensips
        self._wire = wire

    async def dial(self, script: CallScript, caller: str, called: str, stream: int) -> "SipPhoneCall":
        phone = self._wire.open(script, stream)
        return SipPhoneCall(self._opensips, self._wire, phone, script.codec, caller, called)


class SipPhoneCall:
    """One call, from INVITE to BYE."""

    def __init__(
        self, opensips: OpenSipsStandIn, wire: Wire, phone: Phone, codec: str, caller: str, called: str
    ) -> None:
        self._wire = wire
        self._phone = phone
        self._codec = codec
        self._offers = 0
        self.trace.invited_ns = time.time_ns()
        self._call: SipCall = opensips.invite(self._offer("sendrecv"), caller=caller, called=called)

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
        return self._call.hung_up.is_set()

    async def answered(self, within_s: float) -> int:
        call = self._call
        try:
            reply = await call.final(within_s)
        except TimeoutError:
            await call.cancel()
            raise CallNotUpError(f"no final reply to the INVITE within {within_s:g} s") from None
        self.trace.replied_ns = time.time_ns()
        if reply.status >= 300:
            raise CallNotUpError(f"the call was refused: {reply.status} {reply.reason}", reply.status)
        try:
            self._phone.connect(read_answer(reply.body, self._codec))
        except AnswerError as error:
            raise LineError(str(error)) from error
        finally:
            call.ack()
        return reply.status

    def say(self, pcm: bytes, utterance: int) -> None:
        self._phone.say(pcm, utterance)

    async def press(self, digits: str, by: Literal["rfc4733", "info"]) -> None:
        if by == "rfc4733":
            try:
                self._phone.press(digits)
            except ValueError as error:
                raise LineError(str(error)) from error
            return
        for digit in digits:
            reply = await self._call.request(
                "INFO",
                f"Signal={digit}\r\nDuration=160\r\n",
                "application/dtmf-relay",
                timeout_s=_REQUEST_TIMEOUT_S,
            )
            if reply.status != 200:
                raise LineError(f"INFO was answered {reply.status} {reply.reason}")

    async def hold(self, direction: Literal["sendonly", "inactive"]) -> None:
        await self._renegotiate(direction)
        self._phone.sending = direction == "sendonly"

    async def resume(self) -> None:
        self._phone.sending = True
        await self._renegotiate("sendrecv")

    def fall_silent(self) -> None:
        self._phone.sending = False

    async def hang_up(self) -> None:
        reply = await self._call.request("BYE", timeout_s=_REQUEST_TIMEOUT_S)
        if reply.status != 200:
            raise LineError(f"BYE was answered {reply.status} {reply.reason}")

    async def close(self) -> None:
        self._wire.hang_up(self._phone)

    async def _renegotiate(self, direction: str) -> None:
        reply = await self._call.request("INVITE", self._offer(direction), timeout_s=_REQUEST_TIMEOUT_S)
        if reply.status >= 300:
            raise LineError(f"re-INVITE was answered {reply.status} {reply.reason}")
        self._call.ack()
        try:
            self._phone.connect(read_answer(reply.body, self._codec, direction))
        except AnswerError as error:
            raise LineError(str(error)) from error

    def _offer(self, direction: str) -> str:
        self._offers += 1
        return make_offer(self._wire.address, self._phone.local_port, self._codec, self._offers, direction)
