"""A phone on a call over OpenSIPS that a test holds: it asks, hears, and hangs up when it is told to."""

from collections.abc import Mapping
from typing import Self

from tests.integration.conversation import QUIET_S, Conversation
from tools.caller.agent_account import Management
from tools.caller.offer import make_offer, read_answer
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.phone import Phone, Remote
from tools.caller.script import CallScript, HangUp
from tools.caller.sip_call import SipCall
from tools.caller.wire import Wire


class LiveCall(Conversation):
    """Up from entry to `hang_up`, or to exit.

    Attributes:
        phone: its media; `sip`: its signalling.
        remote: where the agent's answer wants the caller's packets.
    """

    phone: Phone
    sip: SipCall
    remote: Remote

    def __init__(
        self,
        opensips: OpenSipsStandIn,
        wire: Wire,
        management: Management,
        caller: str,
        script: Mapping[str, object],
        quiet_s: float = QUIET_S,
    ) -> None:
        """`script` are keys of `CallScript`; `quiet_s` is a pause after which the agent has said all."""
        told = CallScript.model_validate({"step": (HangUp(do="hang_up"),), "caller": caller, **script})
        super().__init__(told, management, "opensips", quiet_s)
        self._opensips = opensips
        self._wire = wire
        self._over = False

    async def __aenter__(self) -> Self:
        self.phone = self._wire.open(self.script)
        try:
            offer = make_offer(self._wire.address, self.phone.local_port, "PCMU", 1)
            self.sip = self._opensips.invite(offer, caller=self.script.caller, called=self.script.called)
            reply = await self.sip.final()
            assert reply.status == 200, f"{reply.status} {reply.reason}"
            self.remote = read_answer(reply.body, "PCMU")
            self.phone.connect(self.remote)
            self.sip.ack()
        except BaseException:
            self._wire.hang_up(self.phone)
            raise
        return self

    @property
    def handset(self) -> Phone:
        return self.phone

    @property
    def up(self) -> bool:
        return not self.sip.hung_up.is_set()

    async def vanish(self) -> None:
        """The phone loses its network: no packet and no BYE comes any more."""
        self._over = True
        self._wire.hang_up(self.phone)

    async def hang_up(self) -> None:
        if self._over:
            return
        self._over = True
        self.phone.sending = False
        if self.up:
            await self.sip.request("BYE", timeout_s=3.0)
        self._wire.hang_up(self.phone)
