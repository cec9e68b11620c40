"""Calls on loopback legs, run by the real `CallRunner` with scripted providers; nothing may be left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from core.calls.agent import Agent
from core.calls.handler import CallRunner
from core.calls.registry import CallRegistry
from core.calls.settings import CallSettings
from core.dialogue.dialogue import Dialogue, fixed_phrases
from core.dialogue.knowledge import Knowledge
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.leg import CallInfo
from core.observability.call_record import CallRecord
from core.pipeline.call_pipeline import Conversations
from core.pipeline.phrase_book import PhraseBook
from core.pipeline.settings import AudioSettings
from core.pipeline.voice_activity import VoiceActivity
from core.providers.asr.scripted import ScriptedRecognizer
from core.providers.base import GenerationParameters, Message, Providers, Tool
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.pool import Lease
from core.providers.tts.scripted import ScriptedSynthesizer
from core.transports.clock import VirtualClock
from core.transports.loopback import LoopbackCaller, LoopbackLeg, LoopbackTransport

GREETING = "Hello."
GOODBYE = "Goodbye!"
WAIT_S = 15.0


class NotingGenerator(ScriptedGenerator):
    """Notes which sessions were warmed and ended."""

    def __init__(self) -> None:
        super().__init__("It is blue.", 0.005)
        self.warmed: list[str] = []
        self.ended: list[str] = []

    async def warm_up(self, messages: Sequence[Message], session_id: str, tools: Sequence[Tool] = ()) -> None:
        self.warmed.append(session_id)

    async def end_session(self, session_id: str) -> None:
        self.ended.append(session_id)


class Office:
    """One runner on one loopback transport."""

    def __init__(self) -> None:
        self.session = SessionSettings(welcome_message=GREETING)
        self.dialogue = DialogueSettings(idle_timeout_s=0, goodbye_message=GOODBYE)
        self.generator = NotingGenerator()
        self.synthesizer = ScriptedSynthesizer(0.0)
        self.phrases = PhraseBook(self.synthesizer, 2**24)
        self.voice_activity = VoiceActivity()
        self.transport = LoopbackTransport()
        self.resident_mb = 0.0
        self.make_dialogue: Callable[[], Dialogue] = self._dialogue
        self.registry: CallRegistry
        self.serving: asyncio.Task[None] | None = None
        self.runner: CallRunner
        self.configure()

    def _new_dialogue(self) -> Dialogue:
        return self.make_dialogue()

    def _dialogue(self) -> Dialogue:
        return Dialogue(self.session, self.dialogue, Knowledge([]))

    def configure(self, **limits: Any) -> None:
        """Other limits than the default ones; before `open`."""
        settings = CallSettings(**limits)
        self.registry = CallRegistry(settings, lambda: self.resident_mb)
        providers = Providers(ScriptedRecognizer(["What colour is it?"]), self.generator, self.synthesizer)
        conversations = Conversations(
            providers, self.phrases, AudioSettings(), GenerationParameters(), self.voice_activity
        )
        self.agent = Agent("default", conversations, self._new_dialogue, [], Lease(providers))
        self.runner = CallRunner(self.registry, self, settings)

    def choose(self, info: CallInfo) -> Agent:
        return self.agent

    async def open(self) -> None:
        """Renders the fixed phrases, and takes calls from now on."""
        await self.phrases.render(fixed_phrases(self.session, self.dialogue, Knowledge([])), 8000)
        self.serving = asyncio.create_task(self.transport.run(self.runner.handle))

    async def close(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            await asyncio.gather(self.serving, return_exceptions=True)

    async def connected(self) -> LoopbackCaller:
        """A call that was answered."""
        caller = self.transport.call()
        assert await caller.answered() == 200
        return caller

    def record_of(self, caller: LoopbackCaller) -> CallRecord:
        record = self.registry.record(caller.leg.info.call_id)
        assert record is not None
        return record

    async def greeted(self, caller: LoopbackCaller) -> None:
        await until(lambda: self.record_of(caller).turns and self.record_of(caller).turns[0].spoken)


async def until(condition: Callable[[], object]) -> None:
    """Waits for what happens at the other end of the loop."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def leg(kind: type[LoopbackLeg] = LoopbackLeg, call_id: str = "call-1") -> LoopbackLeg:
    """A leg without a transport: its audio stands still."""
    return kind(CallInfo(call_id, "loopback", "4930123456", "agent"), 8000, VirtualClock())


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    before = asyncio.all_tasks()
    office = Office()
    yield office
    await office.close()
    assert office.registry.active == []

    def left() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() - before - {asyncio.current_task()}]

    await until(lambda: not left())
