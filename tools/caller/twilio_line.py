"""A phone whose calls reach the agent by Twilio."""

from tools.caller.script import CallScript
from tools.caller.stream_phone import StreamPhone
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_call import TwilioCall


class TwilioLine:
    """Places calls to the agent that a number of the account's leads to. Whatever codec a script wants, it is PCMU."""

    transport = "twilio"

    def __init__(self, twilio: TwilioStandIn, wire: StreamWire, agent: AgentAddress) -> None:
        self._twilio = twilio
        self._wire = wire
        self._agent = agent

    async def dial(self, script: CallScript, caller: str, called: str, stream: int) -> TwilioCall:
        return TwilioCall(self._twilio, self._wire, self._agent, StreamPhone(script, stream), caller, called)
