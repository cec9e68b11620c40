"""The management interface with a registry whose calls a test places, asked over real HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from core.calls.outbound import OutboundCalls
from core.calls.registry import ActiveCall, CallRegistry
from core.calls.settings import CallSettings, OutboundSettings
from core.leg import CallInfo
from core.management.server import build
from core.management.settings import ManagementSettings
from core.transports.clock import VirtualClock
from core.transports.loopback import LoopbackLeg
from tests.core.calls.switchboard import Switchboard

Client = TestClient[web.Request, web.Application]


@dataclass
class Process:
    """What stands behind the interface."""

    registry: CallRegistry
    connected: dict[str, bool] = field(default_factory=lambda: {"asr": True, "llm": True, "tts": True})
    reachable: dict[str, bool] = field(default_factory=lambda: {"opensips": True})
    reasons: list[str] = field(default_factory=list)
    calls: ExitStack = field(default_factory=ExitStack)
    switchboard: Switchboard = field(default_factory=Switchboard)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)

    def services(self) -> dict[str, bool]:
        return self.connected

    def transports(self) -> dict[str, bool]:
        return self.reachable

    def not_ready_because(self) -> list[str]:
        return self.reasons

    def place(self, call_id: str) -> ActiveCall:
        """A call that is up until the end of the test, or of `calls`."""
        leg = LoopbackLeg(CallInfo(call_id, "loopback", "alice", "agent"), 8000, VirtualClock())
        return self.calls.enter_context(self.registry.admitted(leg))

    def application(self, settings: ManagementSettings) -> web.Application:
        outbound = OutboundCalls(self.outbound, {self.switchboard.name: self.switchboard}, self.registry)
        return build(settings, self.registry, self, outbound)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process(CallRegistry(CallSettings(max_concurrent_sessions=2), lambda: 0.0))
    with process.calls:
        yield process


Serve = Callable[[ManagementSettings], Awaitable[Client]]


@pytest.fixture
async def serve(process: Process) -> AsyncIterator[Serve]:
    """Starts the interface with other settings."""
    clients: list[Client] = []

    async def start(settings: ManagementSettings) -> Client:
        client = TestClient(TestServer(process.application(settings)))
        clients.append(client)
        await client.start_server()
        return client

    yield start
    for client in clients:
        await client.close()


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(ManagementSettings())
