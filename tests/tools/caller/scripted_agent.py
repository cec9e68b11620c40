"""An agent behind Twilio, small enough to trust: checks signatures, takes the stream, plays tones ahead of time."""

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from twilio.request_validator import RequestValidator

from core.audio.codecs import create_codec
from tests.tools.caller.scripted_connector import ANSWER_HZ, GREETING_HZ, Behaviour, tone
from tools.caller.trace import AUDIBLE_DBFS, level_dbfs
from tools.caller.twilio import AgentAddress
from tools.caller.twilio_rest import AUTH_TOKEN

CODEC = create_codec("PCMU")


@dataclass
class AgentCall:
    """One stream, and what the agent itself noted about it."""

    socket: web.WebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    arrived_ns: list[int] = field(default_factory=list)
    heard_last_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    cleared_ns: list[int] = field(default_factory=list)
    playing: bool = False
    answers: int = 0

    def events(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]

    @property
    def digits(self) -> str:
        return "".join(message["dtmf"]["digit"] for message in self.events("dtmf"))

    async def send(self, event: str, **body: Any) -> None:
        stream_sid = self.events("start")[0]["streamSid"]
        await self.socket.send_str(json.dumps({"event": event, "streamSid": stream_sid} | body))

    async def play(self, frames: list[bytes], mark: str) -> None:
        """All at once: Twilio keeps what it cannot play yet."""
        self.playing = True
        for pcm in frames:
            await self.send("media", media={"payload": base64.b64encode(CODEC.encode(pcm)).decode()})
        await self.send("mark", mark={"name": mark})


class ScriptedAgent:
    """Serves Twilio's webhooks and streams below /twilio.

    Attributes:
        twiml: what a call is answered with, None for a stream.
        statuses: what the status callback told.
    """

    def __init__(self, behaviour: Behaviour | None = None, auth_token: str = AUTH_TOKEN, port: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.twiml: str | None = None
        self.status = 200
        self.takes_streams = True
        self.calls: list[AgentCall] = []
        self.webhooks: list[dict[str, str]] = []
        self.statuses: list[str] = []
        self.actions: list[dict[str, str]] = []
        self._validator = RequestValidator(auth_token)
        application = web.Application()
        application.add_routes(
            [
                web.post("/twilio/voice", self._voice),
                web.post("/twilio/status", self._status),
                web.post("/twilio/dialled", self._dialled),
                web.get("/twilio/stream", self._stream),
            ]
        )
        self._server = TestServer(application, host="127.0.0.1", port=port or None)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.close()

    @property
    def address(self) -> AgentAddress:
        return AgentAddress(str(self._server.make_url("")).rstrip("/"))

    def stream_url(self, request: web.Request) -> str:
        return f"wss://{request.host}/twilio/stream"

    async def _fields(self, request: web.Request) -> dict[str, str]:
        assert request.headers["X-Forwarded-Proto"] == "https"
        fields = {name: str(value) for name, value in (await request.post()).items()}
        url = f"https://{request.host}{request.path}"
        if not self._validator.validate(url, fields, request.headers["X-Twilio-Signature"]):
            raise web.HTTPForbidden
        return fields

    async def _voice(self, request: web.Request) -> web.Response:
        self.webhooks.append(await self._fields(request))
        stream = f'<Connect><Stream url="{self.stream_url(request)}"><Parameter name="a" value="b"/></Stream></Connect>'
        return web.Response(
            text=self.twiml or f"<Response>{stream}</Response>", content_type="application/xml", status=self.status
        )

    async def _status(self, request: web.Request) -> web.Response:
        self.statuses.append((await self._fields(request))["CallStatus"])
        return web.Response(status=204)

    async def _dialled(self, request: web.Request) -> web.Response:
        self.actions.append(await self._fields(request))
        return web.Response(text="<Response><Hangup/></Response>", content_type="application/xml")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if not self.takes_streams:
            raise web.HTTPForbidden
        url = f"wss://{request.host}{request.path}"
        assert self._validator.validate(url, {}, request.headers["X-Twilio-Signature"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        call = AgentCall(socket)
        self.calls.append(call)
        await self.converse(call)
        return socket

    async def converse(self, call: AgentCall) -> None:
        """Greets, answers after a silence, stops when it is spoken over."""
        behaviour, speaking, quiet = self.behaviour, 0, 0
        async for message in call.socket:
            if message.type is not WSMsgType.TEXT:
                return
            told = json.loads(message.data)
            call.messages.append(told)
            call.arrived_ns.append(time.time_ns())
            if told["event"] == "start" and behaviour.greeting_ms:
                await call.play(tone(GREETING_HZ, behaviour.greeting_ms), "greeting")
            if told["event"] == "mark":
                call.playing = False
                if behaviour.hangs_up_after_answers == call.answers and call.answers:
                    await call.socket.close()
                    return
            if told["event"] != "media":
                continue
            if level_dbfs(CODEC.decode(base64.b64decode(told["media"]["payload"]))) > AUDIBLE_DBFS:
                speaking, quiet = speaking + 1, 0
                call.heard_last_ns.append(time.time_ns())
                if call.playing and call.answers and speaking >= behaviour.stop_after_frames:
                    await call.send("clear")
                    call.cleared_ns.append(time.time_ns())
                    call.playing = False
            else:
                quiet += 1
            if speaking >= 3 and quiet == behaviour.answer_after_frames:
                call.answered_ns.append(time.time_ns())
                frames = tone(ANSWER_HZ[call.answers % len(ANSWER_HZ)], behaviour.answer_ms)
                call.answers, speaking = call.answers + 1, 0
                await call.play(frames, f"answer {call.answers}")


async def until(condition: Any, timeout_s: float = 5.0) -> None:
    """Waits for what another side is to do."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
