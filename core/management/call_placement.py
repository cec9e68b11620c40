"""`POST /api/v1/calls`: a request to call somebody, and what becomes of it."""

from typing import Any

from aiohttp import web

from core.calls.outbound import OutboundCalls
from core.errors import OutboundRefused
from core.management.json_body import json_object

_KEYS = {"to", "parameters"}


class CallPlacement:
    """Reads the request; whether the call is placed is for `OutboundCalls` to say."""

    def __init__(self, outbound: OutboundCalls) -> None:
        self._outbound = outbound

    async def place(self, request: web.Request) -> web.Response:
        """202 with the `call_id` that the call will have once it is answered."""
        if request.content_type != "application/json":
            # A page in a browser on this machine cannot send that to us unasked.
            raise web.HTTPUnsupportedMediaType(text="the body must be application/json")
        called, parameters = _call_of(await json_object(request))
        try:
            placed = await self._outbound.place(called, parameters)
        except OutboundRefused as refusal:
            headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
            return web.json_response({"error": refusal.reason}, status=refusal.http_status, headers=headers)
        return web.json_response({"call_id": placed.call_id, "transport": placed.transport}, status=202)


def _call_of(body: dict[str, Any]) -> tuple[str, dict[str, str]]:
    unknown = ", ".join(sorted(body.keys() - _KEYS))
    if unknown:
        raise web.HTTPBadRequest(text=f"unknown: {unknown[:100]}; known are to, parameters")
    called, parameters = body.get("to"), body.get("parameters", {})
    if not isinstance(called, str):
        raise web.HTTPBadRequest(text="to must be a number or a SIP URI, as a string")
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        raise web.HTTPBadRequest(text="parameters must be an object of strings")
    return called, parameters
