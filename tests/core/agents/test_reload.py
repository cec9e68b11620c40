"""A file that is read again: what takes over, what stays in force, and what is told."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from core.agents.briefing import Briefing
from core.agents.directory import AgentDirectory
from core.leg import CallInfo
from core.pipeline.voice_activity import VoiceActivity
from core.providers.pool import ProviderPool
from core.providers.settings import TtsSettings
from core.reload import NOT_RELOADED, TAKE_OVER_TIMEOUT_S, ConfigurationInForce
from core.settings import Configuration
from services.common.settings import ConfigurationError
from tests.core.agents.conftest import Configure, NotedVoice, until

CALL = CallInfo("call-1", "loopback", "4930", "100")


def greeting(text: str) -> str:
    return f"[session]\nwelcome_message = {text}\n"


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("oavc_reloads_total", {"outcome": outcome}) or 0.0


class Operator:
    """Changes the file, and asks for it to be read."""

    def __init__(self, configure: Configure, voice_activity: VoiceActivity, pool: ProviderPool) -> None:
        self._configure = configure
        self._voice_activity = voice_activity
        self.pool = pool
        self.file: Configuration | Exception
        self.in_force: ConfigurationInForce
        self.running: asyncio.Task[None]

    async def start(self, text: str, voice: str = "scripted") -> None:
        self.running = asyncio.create_task(self._run(self._configure(text, voice)))
        await until(lambda: hasattr(self, "in_force") or self.running.done())

    async def _run(self, configuration: Configuration) -> None:
        self.in_force = ConfigurationInForce(configuration, self._read, self._build)
        await self.in_force.run()

    def write(self, text: str, voice: str = "scripted") -> None:
        self.file = self._configure(text, voice)
        self.in_force.request_reload()

    def break_it(self, error: Exception) -> None:
        self.file = error
        self.in_force.request_reload()

    def _read(self) -> Configuration:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def _build(self, briefings: Sequence[Briefing]) -> AgentDirectory:
        return AgentDirectory(briefings, self.pool, self._voice_activity)

    @property
    def greeting(self) -> str:
        return self.in_force.choose(CALL).make_dialogue().greeting


@pytest.fixture
async def operator(configure: Configure, voice_activity: VoiceActivity, pool: ProviderPool) -> AsyncIterator[Operator]:
    operator = Operator(configure, voice_activity, pool)
    yield operator
    operator.running.cancel()
    await asyncio.wait({operator.running})
    assert operator.running.cancelled(), operator.running
    await pool.close()


async def test_the_first_configuration_is_rehearsed_and_rendered(operator: Operator, voices: list[NotedVoice]) -> None:
    await operator.start(greeting("Hello."), "noted")
    assert operator.greeting == "Hello."
    assert not operator.in_force.rehearsed
    await until(lambda: operator.in_force.rehearsed)
    assert voices[0].said[0] == ("Hello.", 8000)
    await until(lambda: ("Hello.", 16000) in voices[0].said)


async def test_a_changed_file_answers_the_next_call_and_no_caller_waits_for_its_voice(
    operator: Operator, voices: list[NotedVoice], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reloaded, before = counted("reloaded"), time.time()
    await operator.start(greeting("Old."))
    operator.write(greeting("New.") + "[tts.noted]\npitch = 9\n[agent.sales]\nmatch = ^100$\n", "noted")
    await until(lambda: voices)
    assert operator.greeting == "Old."
    voices[0].may_speak.set()
    await until(lambda: operator.greeting == "New.")
    agent = operator.in_force.choose(CALL)
    assert agent.name == "sales"
    assert agent.conversations.phrases.get("New.", 8000) is not None
    assert counted("reloaded") == reloaded + 1
    assert (REGISTRY.get_sample_value("oavc_configuration_timestamp_seconds") or 0) >= before
    [record] = [record for record in caplog.records if record.getMessage() == "configuration reloaded"]
    assert record.__dict__["agents"] == "default, sales"


async def test_old_providers_are_closed_when_their_last_call_ends(operator: Operator, voices: list[NotedVoice]) -> None:
    await operator.start("", "noted")
    up, second = (operator.in_force.choose(CALL).lease.share() for _ in range(2))
    operator.write("[tts.noted]\npitch = 2\n", "noted")
    await until(lambda: len(voices) == 2 and operator.in_force.choose(CALL).lease.members(TtsSettings) == (voices[1],))
    await up.release()
    assert not voices[0].closed
    await second.release()
    await until(lambda: voices[0].closed)
    assert not voices[1].closed


async def test_what_a_changed_file_leaves_alone_stays_connected(operator: Operator, voices: list[NotedVoice]) -> None:
    await operator.start(greeting("Old."), "noted")
    operator.write(greeting("New."), "noted")
    await until(lambda: operator.greeting == "New.")
    assert len(voices) == 1
    assert not voices[0].closed


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError(["asr.prot: unknown key, did you mean 'port'?", "agent.sales: match: no"]),
        ConfigurationError(["app.ini:3: expected `key = value`"]),
        ZeroDivisionError(),
    ],
)
async def test_a_file_that_cannot_be_right_changes_nothing_and_every_problem_is_told(
    operator: Operator, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    refused = counted("refused")
    await operator.start(greeting("Old."))
    operator.break_it(error)
    await until(lambda: counted("refused") == refused + 1)
    records = [record for record in caplog.records if record.getMessage() == NOT_RELOADED]
    assert {record.levelname for record in records} == {"ERROR"}
    if isinstance(error, ConfigurationError):
        assert tuple(record.__dict__["problem"] for record in records) == error.problems
    assert operator.greeting == "Old."
    operator.write(greeting("New."))
    await until(lambda: operator.greeting == "New.")


async def test_a_missing_file_of_knowledge_changes_nothing(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    refused = counted("refused")
    await operator.start(greeting("Old."))
    operator.write(greeting("New.") + "[agent.sales]\ndialogue.knowledge = /nowhere.md\n")
    await until(lambda: counted("refused") == refused + 1)
    assert operator.greeting == "Old."
    [record] = [record for record in caplog.records if record.getMessage() == NOT_RELOADED]
    assert record.__dict__["problem"].startswith("agent.sales: dialogue.knowledge: /nowhere.md: ")


async def test_a_voice_that_does_not_come_is_waited_for_so_long_and_no_longer(
    operator: Operator,
    voices: list[NotedVoice],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.reload.TAKE_OVER_TIMEOUT_S", 0.05)
    await operator.start(greeting("Old."))
    operator.write(greeting("New.") + "[tts.noted]\npitch = 8\n", "noted")
    await until(lambda: operator.greeting == "New.")
    [record] = [record for record in caplog.records if "before it is ready" in record.getMessage()]
    assert record.__dict__["not_ready"] == "tts of default"
    assert not voices[0].closed


async def test_a_provider_that_was_away_before_is_not_waited_for(operator: Operator, voices: list[NotedVoice]) -> None:
    away = "[agent.away]\ntts.provider = noted\ntts.noted.pitch = 8\n"
    await operator.start(greeting("Old.") + away)
    async with asyncio.timeout(TAKE_OVER_TIMEOUT_S / 3):
        operator.write(greeting("New.") + away)
        await until(lambda: operator.greeting == "New.")
    assert not voices[0].ready


async def test_a_file_that_changes_again_wins_at_once(operator: Operator, voices: list[NotedVoice]) -> None:
    superseded, reloaded = counted("superseded"), counted("reloaded")
    await operator.start(greeting("Old."))
    operator.write(greeting("Never.") + "[tts.noted]\npitch = 9\n", "noted")
    await until(lambda: voices)
    operator.write(greeting("New."))
    await until(lambda: operator.greeting == "New.")
    assert (counted("superseded"), counted("reloaded")) == (superseded + 1, reloaded + 1)
    assert voices[0].closed


async def test_requests_that_come_together_are_one(operator: Operator) -> None:
    reloaded = counted("reloaded")
    await operator.start(greeting("Old."))
    for _ in range(5):
        operator.write(greeting("New."))
    await until(lambda: operator.greeting == "New.")
    assert counted("reloaded") == reloaded + 1


async def test_a_file_with_a_wrong_voice_can_be_mended_before_the_first_call(
    operator: Operator, voices: list[NotedVoice]
) -> None:
    await operator.start("[tts.noted]\npitch = 9\n", "noted")
    operator.write(greeting("Mended."))
    await until(lambda: operator.in_force.rehearsed)
    assert operator.greeting == "Mended."
    await until(lambda: voices[0].closed)


async def test_a_rehearsal_that_fails_keeps_no_call_away(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("core.pipeline.call_pipeline.Conversations.rehearse", fail)
    await operator.start("")
    await until(lambda: operator.in_force.rehearsed)
    assert "rehearsal failed" in caplog.text


async def test_what_needs_a_restart_is_named_as_long_as_it_differs(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    await operator.start(greeting("One."))
    for text in ("Two.", "Three."):
        caplog.clear()
        operator.write(greeting(text) + "[opensips]\nmi_port = 9999\n[management]\ntoken = hush\n")
        await until(lambda text=text: operator.greeting == text)  # type: ignore[misc]
        [record] = [record for record in caplog.records if record.getMessage() == "settings wait for a restart"]
        assert set(record.__dict__["keys"].split(", ")) == {"opensips.mi_port", "management.token"}
        assert "hush" not in caplog.text
    caplog.clear()
    operator.write(greeting("Four."))
    await until(lambda: operator.greeting == "Four.")
    assert caplog.records == []


async def test_keys_of_another_connectors_are_named_once_without_their_values(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    await operator.start("[openai]\nmatch = ^100$\nkey = hush\nmodel = x\n[azure]\nmatch = ^2\n")
    [record] = [record for record in caplog.records if "of this section" in record.getMessage()]
    assert (record.__dict__["section"], record.__dict__["ignored"]) == ("openai", "key, model")
    assert "hush" not in caplog.text
    assert operator.in_force.choose(CALL).name == "openai"


async def test_variables_that_nobody_reads_any_more_are_told(
    operator: Operator, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    await operator.start("[agent.sales]\nmatch = ^1\n")
    operator.file = replace(configure(greeting("One."), "scripted"), unread=("OAVC_AGENT_SALES_MATCH",))
    operator.in_force.request_reload()
    await until(lambda: operator.greeting == "One.")
    [record] = [record for record in caplog.records if record.getMessage() == "variable that nobody reads"]
    assert record.__dict__["variable"] == "OAVC_AGENT_SALES_MATCH"
