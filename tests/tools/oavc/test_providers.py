"""`oavc providers`: what there is, what is in force, and what stands against its being ready."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from core.errors import ProviderRejected
from core.providers import registry
from core.providers.tts.scripted import ScriptedSynthesizer
from core.settings import load_configuration
from tools.oavc import providers
from tools.oavc.__main__ import main

SCRIPTED = "[asr]\nprovider = scripted\n[llm]\nprovider = scripted\n[tts]\nprovider = scripted\n"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OAVC_CONFIG_FILE", "CONFIG_FILE", "ASR_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "app.ini"
    path.write_text(text)
    return path


def test_every_registered_provider_is_listed_with_its_purpose_and_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "-c", str(write(tmp_path, SCRIPTED))]) == 0
    lines = capsys.readouterr().out.splitlines()
    for names in registry.PROVIDERS.values():
        for name, module in names.items():
            assert any(line.split()[:1] == [name] and providers.purpose(module) in line for line in lines)
            assert len(providers.purpose(module)) > 20
    assert any("[llm.openai]" in line for line in lines)
    assert "not installed" not in "".join(lines)


def test_those_in_force_are_listed_in_order_for_the_default_and_each_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTS_PROVIDER", "grpc")
    path = write(tmp_path, SCRIPTED + "[agent.sales]\nllm.provider = grpc, scripted\ntts.provider = scripted\n")
    assert main(["providers", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert "  default      asr: scripted   llm: scripted   tts: grpc" in out
    assert "  sales        asr: scripted   llm: grpc, scripted   tts: scripted" in out


def test_a_library_that_is_missing_is_told_and_hides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.PROVIDERS["tts"], "grpc", "tests.tools.oavc.needs_what_is_not_there")
    assert main(["providers", "-c", str(write(tmp_path, SCRIPTED))]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "not installed" in line]
    assert line.split()[0] == "grpc"
    assert "Needs a library that nobody has." in line
    assert "extra 'grpc'" in line


def test_a_wrong_configuration_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "-c", str(write(tmp_path, "[llm]\nprovider = brain\n"))]) == 2
    assert "llm.provider: 'brain' is not known" in capsys.readouterr().err


def test_those_that_work_are_ready_and_one_that_is_shared_is_asked_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SCRIPTED + "[agent.sales]\nsession.welcome_message = Hello.\n")
    assert main(["providers", "-c", str(path), "--check"]) == 0
    out = capsys.readouterr().out
    assert out.count("for default, sales: yes, after ") == 3


def test_one_that_is_away_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SCRIPTED + "[agent.sales]\nllm.provider = grpc\nllm.port = 9\nllm.host = 127.0.0.1\n")
    assert main(["providers", "-c", str(path), "--check"]) == 1
    [line] = [line for line in capsys.readouterr().out.splitlines() if "llm grpc" in line]
    assert "for sales: grpc: UNAVAILABLE: " in line


class SilentVoice(ScriptedSynthesizer):
    """Never says anything."""

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""


class UnreadyVoice(ScriptedSynthesizer):
    """Speaks, and yet."""

    ready = False


class PoorVoice(ScriptedSynthesizer):
    """Takes no orders."""

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        raise ProviderRejected("poor", "the key is not accepted")
        yield b""


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        (SilentVoice, "no answer within 0.2 s"),
        (UnreadyVoice, "it answers, but says that it is not ready"),
        (PoorVoice, "poor: the key is not accepted"),
    ],
)
async def test_whoever_does_not_do_its_work_in_time_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voice: type[ScriptedSynthesizer], reason: str
) -> None:
    monkeypatch.setattr(providers, "CHECK_TIMEOUT_S", 0.2)
    monkeypatch.setattr("core.providers.tts.scripted.build", lambda settings, own: voice())
    verdicts = await providers.check(load_configuration(write(tmp_path, SCRIPTED), {}))
    assert [(each.stage, each.ready, each.reason) for each in verdicts] == [
        ("asr", True, ""),
        ("llm", True, ""),
        ("tts", False, reason),
    ]
