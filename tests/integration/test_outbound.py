"""A whole core calls somebody through a stand-in of Twilio: placed, answered, talked to, and hung up on."""

import asyncio
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.core_process import GREETING, CoreProcess
from tools.caller.stream_messages import CONNECTED, StreamMessages
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twiml import ConnectStream, parse_twiml

OURS, NUMBER, OTHER, PREMIUM = "+4930999999", "+4930123456", "+4930123457", "+49900123456"
PUBLIC_URL = "https://voice.example.com/oavc"
WAIT_S = 10.0


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await condition():
            await asyncio.sleep(0.02)


class Callee:
    """A phone that our number calls."""

    def __init__(self, twilio: TwilioStandIn, agent: AgentAddress, session: aiohttp.ClientSession) -> None:
        self._twilio = twilio
        self._agent = agent
        self._session = session

    async def answer(self, call_sid: str) -> aiohttp.ClientWebSocketResponse:
        """Picks up: Twilio asks what to do, and opens the stream that it is told."""
        placed = self._twilio.rest.requests[-1].params
        self._twilio.rest.set_status(call_sid, "in-progress")
        call = {"CallSid": call_sid, "From": placed["From"], "To": placed["To"], "Direction": "outbound-api"}
        status, text = await self._twilio.post(self._agent, placed["Url"], call)
        assert status == 200
        (verb,) = parse_twiml(text)
        assert isinstance(verb, ConnectStream)
        url = self._agent.reached(verb.url)
        stream = await self._session.ws_connect(url, headers=self._twilio.forwarded(verb.url))
        await stream.send_str(CONNECTED)
        messages = StreamMessages(self._twilio.account_sid, call_sid, "MZ" + "1" * 32, verb.parameters)
        await stream.send_str(messages.start())
        return stream


async def test_a_call_is_placed_answered_and_hung_up(tmp_path: Path) -> None:
    async with TwilioStandIn() as twilio, aiohttp.ClientSession() as session:
        core = CoreProcess(
            tmp_path,
            settings={
                "transports": {"enabled": "twilio"},
                "twilio": {
                    "account_sid": twilio.account_sid,
                    "auth_token": twilio.auth_token,
                    "public_url": PUBLIC_URL,
                    "api_base_url": twilio.rest.url,
                },
                "outbound": {
                    "enabled": "true",
                    "caller": OURS,
                    "allow": json.dumps([r"\+4930[0-9]{6,9}"]),
                    "max_concurrent": 1,
                },
            },
        )

        async def call(number: str) -> tuple[int, dict[str, Any]]:
            body = {"to": number, "parameters": {"order_id": "17"}}
            async with session.post(f"{core.url}/api/v1/calls", json=body) as response:
                return response.status, await response.json()

        await core.start()
        try:
            assert (await core.get("/api/v1/status"))["transports"] == {"twilio": "ready"}
            assert (await call(PREMIUM))[0] == 403
            assert twilio.rest.requests == []

            status, placed = await call(NUMBER)
            call_sid = placed["call_id"]
            assert (status, placed["transport"]) == (202, "twilio")
            asked = twilio.rest.requests[-1].params
            assert (asked["To"], asked["From"]) == (NUMBER, OURS)
            assert asked["StatusCallback"].startswith(f"{PUBLIC_URL}/twilio/")
            assert urllib.parse.urlsplit(asked["Url"]).query == "order_id=17"
            # It rings: that number and all others must wait.
            assert ((await call(NUMBER))[0], (await call(OTHER))[0]) == (409, 429)

            stream = await Callee(twilio, AgentAddress(core.url, PUBLIC_URL), session).answer(call_sid)

            async def greeted() -> bool:
                calls = await core.calls()
                return any(turn["said"] == GREETING for each in calls for turn in each["turns"])

            await until(greeted)
            (up,) = await core.calls()
            assert (up["call_id"], up["transport"]) == (call_sid, "twilio")

            async with session.delete(f"{core.url}/api/v1/calls/{call_sid}") as response:
                assert response.status == 200
            async with asyncio.timeout(WAIT_S):
                async for _ in stream:
                    pass
            assert stream.closed

            async def over() -> bool:
                return not await core.calls() and twilio.rest.calls[call_sid]["status"] == "completed"

            await until(over)
            # Its place is free again.
            assert (await call(OTHER))[0] == 202
            assert core.errors() == []
            assert NUMBER not in json.dumps(core.logged("DEBUG", "INFO", "WARNING"))
        finally:
            await core.stop()
