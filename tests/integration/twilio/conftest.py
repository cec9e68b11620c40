"""One core for all tests that leave it as they found it; calls come over Twilio, and over OpenSIPS beside it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.integration.core_process import Held
from tests.integration.line import Line, open_line, settled_down
from tests.integration.twilio_exchange import Exchange, settings_for
from tests.support.standins.openai import KEY, MODEL, OpenAiServer
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn

TRANSFER_TARGET = "+4930555001"
TALE = "Once upon a time there was a shop that had all that anybody could ever want, and was open day and night. " * 2
AGENTS = {
    "agent.talkative": {"match": "talkative", "session.welcome_message": TALE},
    "agent.garage": {"match": "garage", "session.welcome_message": "Garage."},
    "agent.bakery": {"match": "bakery", "session.welcome_message": "Bakery."},
    "agent.keypad": {
        "match": "keypad",
        "dialogue.knowledge": "",
        "dialogue.tools": "send_digits",
        "llm.provider": "openai",
    },
}


@dataclass
class Surroundings:
    """All that core is connected with.

    Attributes:
        model: the language model of the agent `keypad`.
        before: what core held when no call had come but one of each kind.
    """

    exchange: Exchange
    line: Line
    model: OpenAiServer
    before: Held

    async def nothing_left(self) -> None:
        """Raises AssertionError: core has not let go of something, or has logged an error."""
        # Core keeps connections to these for the next request; they end with the servers.
        await self.exchange.twilio.rest.stop()
        await self.exchange.twilio.rest.start()
        await self.model.die()
        await self.model.start()
        await self.line.nothing_left(self.before)
        assert self.line.core.errors() == []


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def around(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surroundings]:
    async with OpenAiServer() as model, TwilioStandIn() as twilio:
        impatient = {"start_timeout_s": 1.0, "send_timeout_s": 1.0, "api_timeout_s": 1.0}
        settings = {
            **settings_for(twilio, "opensips,twilio", impatient),
            **AGENTS,
            "llm.openai": {"url": model.url, "model": MODEL, "api_key": KEY},
            "dialogue": {"transfer_target": TRANSFER_TARGET},
        }
        async with open_line(tmp_path_factory.mktemp("core"), settings) as line:
            with StreamWire() as wire:
                exchange = Exchange(twilio, line.core, wire, AgentAddress(line.core.url))
                await asyncio.gather(line.ordinary_call(), exchange.ordinary_call())
                await line.opensips.settled()
                yield Surroundings(exchange, line, model, await settled_down(line.core))
