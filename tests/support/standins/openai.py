"""OpenAI's streamed chat completions and its list of models (platform.openai.com/docs/api-reference/chat)."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from aiohttp import web

from core.providers.base import ToolCall
from tests.support.standins.http_server import HttpStandIn, cut, serve
from tests.support.standins.script import Died, Refused, Script

MODEL = "stand-in-1"
KEY = "sk-stand-in"
CREATED = 1741569952
# Real servers cut the arguments of a call anywhere.
ARGUMENTS_PIECE = 7
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class OpenAiServer(HttpStandIn):
    """Knows one model and one key; `url` is the base URL that clients are given.

    Attributes:
        garbage: sent in place of the answer's events.
        lists_models: whether there is a list of models.
        unsupported: parameters that the model does not take, as those that think.
    """

    def __init__(self, script: Script | None = None, port: int = 0, *, wants_key: bool = True) -> None:
        super().__init__(script, port)
        self.garbage: bytes | None = None
        self.lists_models = True
        self.unsupported: frozenset[str] = frozenset()
        self.model_requests = 0
        self.headers: list[Mapping[str, str]] = []
        self._wants_key = wants_key

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._complete)]

    async def _models(self, request: web.Request) -> web.Response:
        self.model_requests += 1
        if not self._knows(request):
            return _error(401, f"Incorrect API key provided: {KEY[:4]}****.")
        if not self.lists_models:
            return _error(404, "Not found")
        model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "stand-in"}
        return web.json_response({"object": "list", "data": [model]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.headers.append(dict(request.headers))
        if not self._knows(request):
            return _error(401, f"Incorrect API key provided: {KEY[:4]}****.")
        if body.get("model") != MODEL:
            return _error(404, f"The model `{body.get('model')}` does not exist or you do not have access to it.")
        for name in self.unsupported:
            if body.get(name) is not None:
                return _unsupported(name)
        async with self.script.asked(body):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            try:
                async with aclosing(self.script.pieces(body["messages"])) as pieces:
                    await self._stream(request, response, body, pieces)
            except Died:
                cut(request.transport)
            except Refused as refused:
                if not response.prepared:
                    return _error(refused.status, str(refused))
                await response.write(_event({"error": _error_object(refused.status, str(refused), refused.status)}))
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: Mapping[str, Any],
        pieces: AsyncIterator[str | ToolCall],
    ) -> None:
        calls = 0
        words = 0
        finish_reason = "stop"
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1024
        async for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
                await response.write(b": keep-alive\n\n")
                if self.garbage is not None:
                    await response.write(self.garbage)
                    return
                await response.write(_chunk({"role": "assistant", "content": "", "refusal": None}))
            if isinstance(piece, ToolCall):
                for delta in _tool_call_deltas(calls, piece):
                    await response.write(_chunk({"tool_calls": [delta]}))
                calls += 1
                finish_reason = "tool_calls"
                continue
            await response.write(_chunk({"content": piece}))
            words += 1
            if words == limit:
                finish_reason = "length"
                break
        if not response.prepared:
            await response.prepare(request)
        await response.write(_chunk({}, finish_reason))
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 11, "completion_tokens": words, "total_tokens": 11 + words}
            await response.write(_event({**_envelope(), "choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")

    def _knows(self, request: web.Request) -> bool:
        return not self._wants_key or request.headers.get("Authorization") == f"Bearer {KEY}"


def _envelope() -> dict[str, Any]:
    return {
        "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({**_envelope(), "choices": [choice]})


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _tool_call_deltas(index: int, call: ToolCall) -> list[dict[str, Any]]:
    """The first names the call, the others hold stretches of its arguments."""
    text = json.dumps(dict(call.arguments), separators=(",", ":"))
    first = {
        "index": index,
        "id": call.call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    stretches = [text[at : at + ARGUMENTS_PIECE] for at in range(0, len(text), ARGUMENTS_PIECE)]
    return [first, *({"index": index, "function": {"arguments": stretch}} for stretch in stretches)]


def _error_object(status: int, message: str, code: str | int | None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    return {"message": message, "type": kind, "param": None, "code": code}


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": _error_object(status, message, CODES.get(status))}, status=status)


def _unsupported(name: str) -> web.Response:
    instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
    error = {"message": message, "type": "invalid_request_error", "param": name, "code": "unsupported_parameter"}
    return web.json_response({"error": error}, status=400)


if __name__ == "__main__":
    serve(lambda script, port: OpenAiServer(script, port, wants_key=False), str(__doc__), 8000)
