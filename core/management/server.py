"""The HTTP interface: health for orchestrators, calls for operators, metrics for Prometheus."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.calls.outbound import OutboundCalls
from core.calls.registry import CallRegistry
from core.leg import EndReason
from core.management.call_placement import CallPlacement
from core.management.guard import Guard, Handler
from core.management.json_body import json_object
from core.management.settings import ManagementSettings
from core.observability import metrics

log = logging.getLogger(__name__)

SERVICE_NAME = "opensips-ai-core"
MAX_RECENT = 1000
MAX_BODY_BYTES = 64 * 1024
CALL_START_FIELDS = ("caller", "called", "call_id", "method", "timestamp")


class Readiness(Protocol):
    """What the interface asks of the process."""

    def services(self) -> dict[str, bool]:
        """Each AI service's name, and whether it is connected."""

    def transports(self) -> dict[str, bool]:
        """Each enabled transport's name, and whether a call placed now would reach us over it."""

    def not_ready_because(self) -> list[str]:
        """What stands against taking a call now; empty when nothing does."""


def build(
    settings: ManagementSettings, registry: CallRegistry, readiness: Readiness, outbound: OutboundCalls
) -> web.Application:
    """The application with all its routes."""
    api = _Api(registry, readiness)
    guard = Guard(settings.token)
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_json])
    application.add_routes(
        [
            web.get("/health", api.health),
            web.get("/health/live", api.live),
            web.get("/health/ready", api.ready),
            web.get("/metrics", api.metrics),
            web.get("/api/v1/status", api.status),
            web.post("/api/v1/call/start", api.call_start),
            web.get("/api/v1/calls", guard.guarded(api.calls)),
            web.post("/api/v1/calls", guard.guarded(CallPlacement(outbound).place)),
            web.get("/api/v1/calls/recent", guard.guarded(api.recent_calls)),
            web.get("/api/v1/calls/{call_id}", guard.guarded(api.call)),
            web.delete("/api/v1/calls/{call_id}", guard.guarded(api.hang_up)),
        ]
    )
    return application


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.text or error.reason}, status=error.status, headers=_challenge(error))


def _challenge(error: web.HTTPException) -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer"} if error.status == web.HTTPUnauthorized.status_code else {}


def _now() -> str:
    return datetime.now(UTC).isoformat()


class _Api:
    def __init__(self, registry: CallRegistry, readiness: Readiness) -> None:
        self._registry = registry
        self._readiness = readiness

    async def health(self, _request: web.Request) -> web.Response:
        """Always 200: a call that is up must not be lost because an orchestrator restarts what it cannot mend."""
        reasons = self._readiness.not_ready_because()
        body: dict[str, Any] = {
            "status": "degraded" if reasons else "healthy",
            "timestamp": _now(),
            "service": SERVICE_NAME,
        }
        if reasons:
            body["reasons"] = reasons
        return web.json_response(body)

    async def live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(self, _request: web.Request) -> web.Response:
        reasons = self._readiness.not_ready_because()
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(self, _request: web.Request) -> web.Response:
        metrics.TASKS.set(len(asyncio.all_tasks()))
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(self, _request: web.Request) -> web.Response:
        services = self._readiness.services()
        operational = not self._readiness.not_ready_because()
        return web.json_response(
            {
                "status": "operational" if operational else "degraded",
                "services": {
                    name: "connected" if connected else "disconnected" for name, connected in services.items()
                },
                "transports": {
                    name: "ready" if ready else "not ready" for name, ready in self._readiness.transports().items()
                },
                "active_calls": len(self._registry.active),
                "timestamp": _now(),
            }
        )

    async def call_start(self, request: web.Request) -> web.Response:
        """Whether a call would be taken; the call itself then comes over its transport."""
        body = await json_object(request)
        missing = [name for name in CALL_START_FIELDS if name not in body]
        if missing:
            raise web.HTTPBadRequest(text=f"missing: {', '.join(missing)}")
        reasons = self._readiness.not_ready_because()
        if not reasons and not self._registry.accepts:
            reasons = ["as many calls as allowed are up"]
        answer: dict[str, Any] = {
            "action": "reject" if reasons else "accept",
            "call_id": body["call_id"],
            "timestamp": _now(),
        }
        if reasons:
            answer["reason"] = "; ".join(reasons)
        return web.json_response(answer)

    async def calls(self, _request: web.Request) -> web.Response:
        return web.json_response({"calls": [call.record.as_json() for call in self._registry.active]})

    async def recent_calls(self, request: web.Request) -> web.Response:
        text = request.query.get("limit", "20")
        # Python refuses to read numbers of thousands of digits.
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_RECENT:
            raise web.HTTPBadRequest(text=f"limit must be a number from 1 to {MAX_RECENT}")
        return web.json_response({"calls": [record.as_json() for record in self._registry.recent(int(text))]})

    async def call(self, request: web.Request) -> web.Response:
        record = self._registry.record(request.match_info["call_id"])
        if record is None:
            raise web.HTTPNotFound(text="no such call")
        return web.json_response(record.as_json())

    async def hang_up(self, request: web.Request) -> web.Response:
        call = self._registry.find(request.match_info["call_id"])
        if call is None:
            raise web.HTTPNotFound(text="no such call")
        await call.leg.hang_up(EndReason.OPERATOR)
        return web.json_response({"call_id": call.record.call_id, "action": "hung_up"})
