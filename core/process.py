"""The process as a whole: built from its settings here, and nowhere else."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from core.agents.directory import AgentDirectory
from core.calls.handler import CallRunner
from core.calls.outbound import Dialler, OutboundCalls
from core.calls.registry import CallRegistry
from core.calls.settings import CallSettings, OutboundSettings
from core.leg import EndReason
from core.management import server as management
from core.management.settings import ManagementSettings
from core.media.interpreter import settle_garbage_collector
from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.observability.resident import resident_mb
from core.pipeline.voice_activity import VoiceActivity
from core.providers.pool import ProviderPool
from core.reload import NOT_RELOADED, ConfigurationInForce
from core.settings import Configuration
from core.transports import registry as transports_registry
from core.transports.base import Host, Transport
from services.common.lifecycle import Lifecycle

log = logging.getLogger(__name__)


class Core:
    """The process, built from its settings. Needs a running loop."""

    def __init__(self, configuration: Configuration, read: Callable[[], Configuration]) -> None:
        """
        Args:
            read: reads the configuration again.

        Raises:
            ConfigurationError: what the settings name is not there, or cannot be set up so.
        """
        self._settings = settings = configuration.settings
        self._lifecycle = Lifecycle()
        self._pool = ProviderPool()
        self._voice_activity = VoiceActivity(realtime=settings[MediaSettings].realtime == "auto")
        self._in_force = ConfigurationInForce(
            configuration, read, lambda briefings: AgentDirectory(briefings, self._pool, self._voice_activity)
        )
        self._plane = MediaPlane(settings[MediaSettings])
        self._registry = CallRegistry(settings[CallSettings], resident_mb)
        self._transports: list[Transport] = transports_registry.build(
            settings, Host(self._plane, self._registry.check_limits, self._placed_call_over)
        )
        diallers = {transport.name: transport for transport in self._transports if isinstance(transport, Dialler)}
        self._outbound = OutboundCalls(settings[OutboundSettings], diallers, self._registry)
        self._runner = CallRunner(self._registry, self._in_force, settings[CallSettings])

    def services(self) -> dict[str, bool]:
        """Of the default agent."""
        return self._in_force.default.conversations.providers.ready()

    def transports(self) -> dict[str, bool]:
        return {transport.name: transport.ready for transport in self._transports}

    def not_ready_because(self) -> list[str]:
        reasons = [f"{name} is not ready" for name, ready in self.services().items() if not ready]
        reasons += [f"{transport.name} is not connected" for transport in self._transports if not transport.ready]
        if not self._in_force.rehearsed:
            reasons.append("starting")
        if self._registry.draining:
            reasons.append("shutting down")
        return reasons

    def reload(self) -> None:
        """Reads the configuration again: who answers calls from then on. Calls that are up notice nothing."""
        if self._registry.draining:
            log.warning(NOT_RELOADED, extra={"problem": "shutting down"})
        else:
            self._in_force.request_reload()

    async def run(self) -> None:
        """Serves until SIGTERM, then lets calls end.

        Raises:
            OSError: a port cannot be opened.
        """
        self._plane.start()
        application = management.build(self._settings[ManagementSettings], self._registry, self, self._outbound)
        for transport in self._transports:
            application.add_routes(transport.routes)
        # Nobody who should sends compressed bodies; one that is broken would be an error of the server's.
        web_runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await web_runner.setup()
        try:
            async with self._lifecycle.signals(), asyncio.TaskGroup() as group:
                http = self._settings[ManagementSettings]
                await web.TCPSite(web_runner, http.host, http.port).start()
                background = [
                    group.create_task(self._in_force.run(), name="configuration in force"),
                    *(
                        group.create_task(self._listen(transport), name=transport.name)
                        for transport in self._transports
                    ),
                ]
                settle_garbage_collector()
                log.info("listening for calls", extra={"http_port": http.port})
                await self._lifecycle.draining.wait()
                await self._drain()
                for task in background:
                    task.cancel()
        finally:
            await web_runner.cleanup()
            await self._pool.close()
            await self._voice_activity.close()
            self._plane.close()
        log.info("stopped")

    def _placed_call_over(self, call_id: str) -> None:
        self._outbound.call_over(call_id)

    async def _listen(self, transport: Transport) -> None:
        try:
            await transport.run(self._runner.handle)
        except OSError as error:
            raise OSError(f"{transport.name} cannot listen for calls: {error.strerror or error}") from error

    async def _drain(self) -> None:
        """Takes no more calls, lets those that are up end, and hangs up those that do not."""
        self._registry.draining = True
        for transport in self._transports:
            await transport.drain()
        timeout_s = self._settings[CallSettings].drain_timeout_s
        if not await self._lifecycle.drain(self._registry.none_left(), timeout_s=timeout_s):
            log.warning("calls are ended", extra={"calls": len(self._registry.active)})
            await self._registry.hang_up_all(EndReason.DRAINED)
