"""Configurations of scripted providers, and a voice that notes what it said and may keep everybody waiting."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Protocol

import pytest

from core.agents.briefing import brief
from core.agents.directory import AgentDirectory
from core.pipeline.voice_activity import VoiceActivity
from core.providers import registry
from core.providers.pool import ProviderPool
from core.providers.settings import TtsSettings
from core.settings import Configuration, load_configuration
from services.common.settings import Section, key

WAIT_S = 15.0
SCRIPTED = "[asr]\nprovider = scripted\n[llm]\nprovider = scripted\n[tts]\nprovider = {voice}\n"


class VoiceSettings(Section):
    """Of the voice below."""

    section: ClassVar[str] = "tts.noted"
    pitch: int = key(1, le=9, help="Pitch")


class NotedVoice:
    """Speaks once it may, and notes what it was asked to say."""

    name = "noted"

    def __init__(self, pitch: int) -> None:
        self.pitch = pitch
        self.said: list[tuple[str, int]] = []
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.ready = True
        self.closed = False

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        await self.may_speak.wait()
        self.said.append((text, sample_rate_hz))
        yield bytes(2 * self.pitch)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def voices(monkeypatch: pytest.MonkeyPatch) -> list[NotedVoice]:
    """Registers the voice as "noted"; those that were built."""
    made: list[NotedVoice] = []

    def build(settings: TtsSettings, own: VoiceSettings) -> NotedVoice:
        made.append(NotedVoice(own.pitch))
        # Of pitch 9, somebody has to be asked first.
        if own.pitch == 9:
            made[-1].may_speak.clear()
        made[-1].ready = own.pitch != 8
        return made[-1]

    module = SimpleNamespace(NAME="noted", SETTINGS=VoiceSettings, build=build)
    found = registry.module
    monkeypatch.setitem(registry.PROVIDERS["tts"], "noted", "noted")
    monkeypatch.setattr(registry, "module", lambda stage, name: module if name == "noted" else found(stage, name))
    return made


@pytest.fixture(scope="session")
def voice_activity() -> VoiceActivity:
    return VoiceActivity()


class Configure(Protocol):
    """Writes a file of scripted providers and what is given, and loads it."""

    def __call__(self, text: str, voice: str = "scripted") -> Configuration: ...


Gather = Callable[[Configuration], AgentDirectory]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    def configured(text: str, voice: str = "scripted") -> Configuration:
        path = tmp_path / "app.ini"
        path.write_text(SCRIPTED.format(voice=voice) + text)
        return load_configuration(path, {})

    return configured


@pytest.fixture
async def pool() -> ProviderPool:
    return ProviderPool()


@pytest.fixture
def gather(pool: ProviderPool, voice_activity: VoiceActivity) -> Gather:
    def gathered(configuration: Configuration) -> AgentDirectory:
        return AgentDirectory(brief(configuration.default, configuration.agents), pool, voice_activity)

    return gathered


async def until(condition: Callable[[], object]) -> None:
    """Waits for what other tasks do."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)
