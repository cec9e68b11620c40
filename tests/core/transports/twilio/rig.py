"""The transport in a server of its own, and a Twilio that signs, streams and plays what it is sent."""

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from core.audio.codec import Pcmu
from core.errors import SignallingError
from core.leg import CallLeg
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.settings import TwilioSettings
from core.transports.twilio.transport import TwilioTransport

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
CALL_SID = "CA00000000000000000000000000000001"
STREAM_SID = "MZ00000000000000000000000000000001"
SILENCE = b"\xff" * 160
_STREAM_URL = re.compile(r'<Stream url="([^"]+)"')


class Control:
    """A `CallControl` that remembers what was asked, and does as told."""

    def __init__(self) -> None:
        self.hung_up: list[str] = []
        self.redirected: list[tuple[str, str]] = []
        self.placed: list[tuple[str, str, str, str]] = []
        self.failure: Exception | None = None
        # Raised after it was done.
        self.late: SignallingError | None = None
        self.on_redirect = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()
        self.closed = False

    async def hang_up(self, call_sid: str) -> None:
        self.hung_up.append(call_sid)
        await self.answering.wait()
        if self.failure:
            raise self.failure

    async def redirect(self, call_sid: str, twiml: str) -> None:
        if self.failure:
            raise self.failure
        self.redirected.append((call_sid, twiml))
        self.on_redirect.set()
        await self.answering.wait()
        if self.late:
            raise self.late

    async def place(self, called: str, caller: str, voice_url: str, status_url: str) -> str:
        if self.failure:
            raise self.failure
        self.placed.append((called, caller, voice_url, status_url))
        return CALL_SID

    async def close(self) -> None:
        self.closed = True


class Handler:
    """A `CallHandler` that hands each leg to the test, and stays until told."""

    def __init__(self) -> None:
        self.legs: asyncio.Queue[CallLeg] = asyncio.Queue()
        self.over = asyncio.Event()
        self.answers = True
        self.failure: Exception | None = None

    async def __call__(self, leg: CallLeg) -> None:
        if self.failure:
            raise self.failure
        if self.answers:
            await leg.answer()
        self.legs.put_nowait(leg)
        await self.over.wait()

    async def leg(self) -> CallLeg:
        async with asyncio.timeout(5):
            return await self.legs.get()


class Phone:
    """A stream as Twilio opens it. What it is sent is kept, and played in its time, faster by `speed`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, stream_sid: str = STREAM_SID) -> None:
        self.socket = socket
        self.stream_sid = stream_sid
        self.heard = bytearray()
        self.sent_to_us: list[dict[str, Any]] = []
        self.clears = 0
        self.returns_marks = True
        self._buffer: list[tuple[str, Any]] = []
        self._filled = asyncio.Event()
        self._chunk = 0
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._player = asyncio.get_running_loop().create_task(self._play())

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.socket.send_str(json.dumps(message))

    async def start(self, call_sid: str = CALL_SID, **custom: str) -> None:
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.send(start(call_sid, self.stream_sid, custom))

    async def speak(self, audio: bytes = SILENCE, **changes: Any) -> None:
        self._chunk += 1
        await self.send(media(audio, self._chunk, self.stream_sid, **changes))

    async def press(self, digit: str) -> None:
        body = {"track": "inbound_track", "digit": digit}
        await self.send({"event": "dtmf", "streamSid": self.stream_sid, "dtmf": body})

    async def stop(self) -> None:
        await self.send({"event": "stop", "streamSid": self.stream_sid, "stop": {"callSid": CALL_SID}})

    async def hang_up(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self.stop()
        await self.socket.close()

    async def closed(self) -> int | None:
        """Waits for the other side to close it; the code."""
        async with asyncio.timeout(5):
            await asyncio.wait({self._reader})
        return self.socket.close_code

    async def release(self) -> None:
        for task in (self._reader, self._player):
            task.cancel()
        await asyncio.wait({self._reader, self._player})
        await self.socket.close()

    async def _read(self) -> None:
        async for received in self.socket:
            message = json.loads(received.data)
            self.sent_to_us.append(message)
            if message["event"] == "media":
                self._buffer.append(("media", base64.b64decode(message["media"]["payload"])))
            elif message["event"] == "mark":
                self._buffer.append(("mark", message["mark"]["name"]))
            else:
                self.clears += 1
                dropped, self._buffer = self._buffer, []
                for kind, name in dropped:
                    if kind == "mark":
                        await self._return(name)
            self._filled.set()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        free_at_s = loop.time()
        while True:
            while not self._buffer:
                self._filled.clear()
                await self._filled.wait()
            kind, content = self._buffer.pop(0)
            if kind == "mark":
                await self._return(content)
            else:
                free_at_s = max(free_at_s, loop.time()) + len(content) / 8000
                self.heard += content
                await asyncio.sleep(free_at_s - loop.time())

    async def _return(self, name: str) -> None:
        if self.returns_marks and not self.socket.closed:
            await self.send({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}})


def start(call_sid: str = CALL_SID, stream_sid: str = STREAM_SID, custom: Mapping[str, str] | None = None) -> Any:
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": stream_sid,
        "start": {
            "streamSid": stream_sid,
            "accountSid": "AC1",
            "callSid": call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(custom or {}),
        },
    }


def media(audio: bytes, count: int, stream_sid: str = STREAM_SID, **changes: Any) -> Any:
    body = {
        "track": "inbound",
        "chunk": str(count),
        "timestamp": str((count - 1) * 20),
        "payload": base64.b64encode(audio).decode(),
    }
    return {"event": "media", "sequenceNumber": "2", "streamSid": stream_sid, "media": body | changes}


def tone(size: int = 160) -> bytes:
    """µ-law that is not silence."""
    return Pcmu().encode(b"\x00\x20\x00\xe0" * (size // 2))


class Rig:
    """One transport that runs, reached over HTTP as Twilio does."""

    def __init__(self, *, credentials: bool = True, control: CallControl | None = None, **changes: Any) -> None:
        values: dict[str, Any] = {"auth_token": SecretStr(AUTH_TOKEN), "account_sid": "AC1", **changes}
        self.settings = TwilioSettings.model_validate(values)
        self.control = Control()
        self.handler = Handler()
        self.refusal: Exception | None = None
        self.over: list[str] = []
        self.transport = TwilioTransport(
            self.settings, self._admission, (control or self.control) if credentials else None, self.over.append
        )
        self.root = ""
        self.runner: web.AppRunner | None = None
        self.client = aiohttp.ClientSession()
        self.phones: list[Phone] = []
        self.running: asyncio.Task[None] | None = None
        self._nonce = 0

    def _admission(self) -> None:
        if self.refusal:
            raise self.refusal

    def form(self, **changes: str) -> dict[str, str]:
        """What Twilio says of a call; no two requests are alike."""
        self._nonce += 1
        call = {
            "CallSid": CALL_SID,
            "From": "+15550100",
            "To": "+15550199",
            "Direction": "inbound",
            "CallStatus": "ringing",
            "SequenceNumber": str(self._nonce),
        }
        return call | changes

    async def post(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        public: str = "",
        signature: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """A webhook, signed for the address it is sent to, or for `public`."""
        url = (public or self.root) + path
        signed = RequestValidator(AUTH_TOKEN).compute_signature(url, dict(form)) if signature is None else signature
        sent = {"X-Twilio-Signature": signed} if signed else {}
        async with self.client.post(self.root + path, data=form, headers=sent | dict(headers or {})) as response:
            return response.status, await response.text()

    async def stream_url(self, **changes: str) -> str:
        """The address that the voice webhook names."""
        status, text = await self.post("/twilio/voice", self.form(**changes))
        assert status == 200, text
        return stream_url(text)

    async def open(self, url: str | None = None, stream_sid: str = STREAM_SID) -> Phone:
        socket = await self.client.ws_connect(url or await self.stream_url(), max_msg_size=0)
        phone = Phone(socket, stream_sid)
        self.phones.append(phone)
        return phone

    async def call(self, **changes: str) -> tuple[Phone, CallLeg]:
        """A call that is up."""
        phone = await self.open(await self.stream_url(**changes))
        await phone.start(changes.get("CallSid", CALL_SID))
        return phone, await self.handler.leg()

    @property
    def connections(self) -> list[asyncio.Transport]:
        """That the server holds."""
        assert self.runner is not None
        assert self.runner.server is not None
        return [each.transport for each in self.runner.server.connections if each.transport is not None]

    async def stop(self) -> None:
        """The process ends."""
        assert self.running is not None
        self.running.cancel()
        await asyncio.wait({self.running})

    async def quiet(self) -> None:
        """Waits until nothing is left of any call."""
        async with asyncio.timeout(5):
            while self.transport.calls or self.transport.streams:
                await asyncio.sleep(0.01)


def stream_url(twiml: str) -> str:
    found = _STREAM_URL.search(twiml)
    assert found is not None, twiml
    return found[1]


@asynccontextmanager
async def running(
    *, credentials: bool = True, control: CallControl | None = None, **changes: Any
) -> AsyncIterator[Rig]:
    """A rig whose transport runs; afterwards nothing may be left of it."""
    rig = Rig(credentials=credentials, control=control, **changes)
    application = web.Application(client_max_size=64 * 1024)
    application.add_routes(rig.transport.routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    rig.runner = runner
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    rig.root = f"http://{host}:{port}"
    rig.running = asyncio.get_running_loop().create_task(rig.transport.run(rig.handler))
    while not rig.transport.ready:
        await asyncio.sleep(0)
    try:
        yield rig
    finally:
        rig.handler.over.set()
        await rig.stop()
        for phone in rig.phones:
            await phone.release()
        await rig.client.close()
        await runner.cleanup()
    assert rig.control.closed == (credentials and control is None)
    assert not rig.transport.calls
    assert not rig.transport.streams
