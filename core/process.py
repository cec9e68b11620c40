"""The process as a whole: built from its settings here, and nowhere else."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from core.calls.handler import CallRunner
from core.calls.outbound import Dialler, OutboundCalls
from core.calls.registry import CallRegistry
from core.calls.settings import CallSettings, OutboundSettings
from core.dialogue import knowledge
from core.dialogue.dialogue import Dialogue, fixed_phrases
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.leg import EndReason
from core.management import server as management
from core.management.settings import ManagementSettings
from core.media.interpreter import settle_garbage_collector
from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.observability.resident import resident_mb
from core.pipeline.call_pipeline import Conversations
from core.pipeline.phrase_book import PhraseBook
from core.pipeline.settings import AudioSettings
from core.providers import registry as providers_registry
from core.providers.base import GenerationParameters, Providers
from core.providers.settings import AsrSettings, LlmSettings
from core.transports import registry as transports_registry
from core.transports.base import Host, Transport
from services.common.lifecycle import Lifecycle
from services.common.settings import Loaded

log = logging.getLogger(__name__)

PHRASE_BOOK_BYTES = 32 * 2**20
# Every phone call speaks G.711; for wider codecs only what must be said with the voice away is kept.
PHRASE_RATES_HZ = (8000,)
WIDE_RATE_HZ = 16000
URGENT_PHRASES = 8


class Core:
    """The process, built from its settings. Needs a running loop."""

    def __init__(self, settings: Loaded) -> None:
        self._settings = settings
        self._lifecycle = Lifecycle()
        dialogue = settings[DialogueSettings]
        session = settings[SessionSettings]
        llm = settings[LlmSettings]
        self._knowledge = (
            knowledge.load(dialogue.knowledge) if dialogue.knowledge is not None else knowledge.Knowledge([])
        )
        self._fixed_phrases = fixed_phrases(session, dialogue, self._knowledge)
        self._providers: Providers = providers_registry.build(settings)
        self._phrases = PhraseBook(self._providers.synthesizer, PHRASE_BOOK_BYTES)
        self._plane = MediaPlane(settings[MediaSettings])
        self._registry = CallRegistry(settings[CallSettings], resident_mb)
        self._transports: list[Transport] = transports_registry.build(
            settings, Host(self._plane, self._registry.check_limits)
        )
        diallers = {transport.name: transport for transport in self._transports if isinstance(transport, Dialler)}
        self._outbound = OutboundCalls(settings[OutboundSettings], diallers, self._registry)
        self._rehearsed = False
        self._conversations = Conversations.build(
            self._providers,
            self._phrases,
            settings[AudioSettings],
            GenerationParameters(llm.max_tokens, llm.temperature, llm.top_p),
        )
        self._make_dialogue: Callable[[], Dialogue] = lambda: Dialogue(session, dialogue, self._knowledge)
        self._runner = CallRunner(
            self._registry,
            self._conversations,
            self._make_dialogue,
            settings[AsrSettings].phrases,
            settings[CallSettings],
        )

    def services(self) -> dict[str, bool]:
        return {
            "asr": self._providers.recognizer.ready,
            "llm": self._providers.generator.ready,
            "tts": self._providers.synthesizer.ready,
        }

    def transports(self) -> dict[str, bool]:
        return {transport.name: transport.ready for transport in self._transports}

    def not_ready_because(self) -> list[str]:
        reasons = [f"{name} is not ready" for name, ready in self.services().items() if not ready]
        reasons += [f"{transport.name} is not connected" for transport in self._transports if not transport.ready]
        if not self._rehearsed:
            reasons.append("starting")
        if self._registry.draining:
            reasons.append("shutting down")
        return reasons

    async def run(self) -> None:
        """Serves until SIGTERM, then lets calls end.

        Raises:
            OSError: a port cannot be opened.
        """
        self._plane.start()
        application = management.build(self._settings[ManagementSettings], self._registry, self, self._outbound)
        for transport in self._transports:
            application.add_routes(transport.routes)
        web_runner = web.AppRunner(application, access_log=None)
        await web_runner.setup()
        try:
            async with self._lifecycle.signals(), asyncio.TaskGroup() as group:
                http = self._settings[ManagementSettings]
                await web.TCPSite(web_runner, http.host, http.port).start()
                background = [
                    group.create_task(self._prepare(), name="prepare"),
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
            await self._conversations.close()
            await self._providers.close()
            self._plane.close()
        log.info("stopped")

    async def _listen(self, transport: Transport) -> None:
        try:
            await transport.run(self._runner.handle)
        except OSError as error:
            raise OSError(f"{transport.name} cannot listen for calls: {error.strerror or error}") from error

    async def _prepare(self) -> None:
        """Makes the first call as quick as any, then renders what is always said alike, the most urgent first."""
        for rate_hz in PHRASE_RATES_HZ:
            await self._phrases.render(self._fixed_phrases[:1], rate_hz)
        try:
            await self._conversations.rehearse(self._make_dialogue())
        except Exception:
            # The first caller waits a little longer for the greeting; that is no reason to take no calls.
            log.exception("rehearsal failed")
        self._rehearsed = True
        for rate_hz in PHRASE_RATES_HZ:
            await self._phrases.render(self._fixed_phrases, rate_hz)
        await self._phrases.render(self._fixed_phrases[:URGENT_PHRASES], WIDE_RATE_HZ)

    async def _drain(self) -> None:
        """Takes no more calls, lets those that are up end, and hangs up those that do not."""
        self._registry.draining = True
        for transport in self._transports:
            await transport.drain()
        timeout_s = self._settings[CallSettings].drain_timeout_s
        if not await self._lifecycle.drain(self._registry.none_left(), timeout_s=timeout_s):
            log.warning("calls are ended", extra={"calls": len(self._registry.active)})
            await self._registry.hang_up_all(EndReason.DRAINED)
