"""The Llama WebSocket server that existing deployments run: one JSON text message a request, streamed JSON replies."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from aiohttp import WSMsgType, web

from core.providers.base import ToolCall
from tests.support.standins.http_server import HttpStandIn, cut, serve
from tests.support.standins.script import Died, Refused, Script


class LlamaWsServer(HttpStandIn):
    """Takes both forms of a request.

    Attributes:
        rag_context: told before the answer where `use_rag` is asked for.
        garbage: sent in place of an answer.
        ends_early: whether it closes the connection in place of saying that it is done.
    """

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        super().__init__(script, port)
        self.rag_context = "The hotel has forty rooms."
        self.garbage: str | bytes | None = None
        self.ends_early = False

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get("/{any:.*}", self._talk)]

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        message = await socket.receive()
        while message.type is WSMsgType.TEXT:
            answering = asyncio.create_task(self._answer(request, socket, json.loads(message.data)))
            next_message = asyncio.create_task(socket.receive())
            try:
                await asyncio.wait({answering, next_message}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    message = await next_message
                else:
                    message = next_message.result()
            finally:
                for task in (answering, next_message):
                    task.cancel()
                await asyncio.wait({answering, next_message})
        return socket

    async def _answer(self, request: web.Request, socket: web.WebSocketResponse, body: dict[str, Any]) -> None:
        async with self.script.asked(body):
            messages = body.get("messages") or [
                {"role": "system", "content": body.get("system_prompt", "")},
                {"role": "user", "content": body["prompt"]},
            ]
            if body.get("use_rag"):
                context = {"rag_context": self.rag_context, "context_length": len(self.rag_context)}
                await socket.send_json(context)
            words = 0
            try:
                async with aclosing(self.script.pieces(messages)) as pieces:
                    async for piece in pieces:
                        if self.garbage is not None:
                            await _send(socket, self.garbage)
                            return
                        assert not isinstance(piece, ToolCall), "the protocol knows no tools"
                        await socket.send_json({"chunk": piece})
                        words += 1
                        if words == body.get("max_tokens"):
                            break
            except Died:
                cut(request.transport)
                return
            except Refused as refused:
                await socket.send_json({"error": str(refused)})
                return
            if self.ends_early:
                await socket.close()
                return
            await socket.send_json({"done": True})


async def _send(socket: web.WebSocketResponse, data: str | bytes) -> None:
    await (socket.send_bytes(data) if isinstance(data, bytes) else socket.send_str(data))


if __name__ == "__main__":
    serve(LlamaWsServer, str(__doc__), 8765)
