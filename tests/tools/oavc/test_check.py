"""`oavc check`: what is in force, or everything that is wrong."""

from pathlib import Path

import pytest

from tools.oavc.__main__ import main
from tools.oavc.check import check

NAMES = ("OAVC_CONFIG_FILE", "CONFIG_FILE", "LOG_LEVEL", "MANAGEMENT_TOKEN", "KNOWLEDGE_FILE")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "app.ini"
    path.write_text(text)
    return path


def test_shipped_configuration_is_right() -> None:
    shown, problems, unread = check(Path("config/app.ini"), {})
    assert problems == unread == []
    assert set(shown) == {"core", "asr", "llm", "tts"}
    assert "knowledge = config/knowledge.md  # file" in shown["core"]


def test_every_problem_of_every_process_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "[session]\ncolour = red\n[opensips]\nevent_port = 99999\n[dialogue]\nidle_prompts = -1\n")
    shown, problems, _ = check(path, {"ASR_PAUSE_MS": "never"})
    text = "\n".join(problems)
    assert "session.colour: unknown key" in text
    assert "opensips.event_port" in text
    assert "dialogue.idle_prompts" in text
    assert "ASR_PAUSE_MS" in text
    assert len(problems) == len(set(problems)) == 4
    assert "core" not in shown


def test_variables_that_nobody_reads_are_told_and_those_of_every_process_are_not(tmp_path: Path) -> None:
    path = write(tmp_path, "[agent.sales]\nmatch = ^1\n")
    read = {
        "OAVC_DIALOGUE_MAX_SENTENCES": "1",
        "OAVC_MANAGEMENT_TOKEN": "open-sesame",
        "OAVC_AGENT_SALES_TTS_VOICE": "joe",
        "OAVC_LLM_OLLAMA_MODEL": "of a provider that is not in use now",
        "OAVC_ASR_ENGINE_PAUSE_MS": "300",
        "OAVC_MODELS_DIR": "models",
        "OAVC_OTLP_ENDPOINT": "http://127.0.0.1:4317",
    }
    misspelt = {"OAVC_DIALOG_MAX_SENTENCES": "1", "OAVC_ASR_ENGINE_PAUSE": "3", "OAVC_AGENT_SALE_MATCH": "x"}
    _, problems, unread = check(path, read | misspelt)
    assert problems == []
    assert unread == [
        "OAVC_AGENT_SALE_MATCH (did you mean OAVC_AGENT_SALES_MATCH?)",
        "OAVC_DIALOG_MAX_SENTENCES (did you mean OAVC_DIALOGUE_MAX_SENTENCES?)",
        "OAVC_ASR_ENGINE_PAUSE (did you mean OAVC_ASR_ENGINE_PAUSE_MS?)",
    ]


def test_knowledge_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, f"[dialogue]\nknowledge = {tmp_path}/none.md\n")
    assert [problem.partition(":")[0] for problem in check(path, {})[1]] == ["dialogue.knowledge"]


def test_command_prints_what_is_in_force_and_masks_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANAGEMENT_TOKEN", "open-sesame")
    path = write(tmp_path, "[session]\nwelcome_message = Good morning!\n")
    assert main(["check", "--config", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "welcome_message = Good morning!  # file" in shown
    assert "open-sesame" not in shown
    assert "token = ********  # env MANAGEMENT_TOKEN" in shown


def test_command_says_what_is_wrong_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(write(tmp_path, "[sesion]\nx = 1\n"))]) == 2
    assert "oavc check: [sesion]: unknown section, did you mean 'session'?" in capsys.readouterr().err


def test_quiet_command_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_agents_are_printed_with_what_they_say_differently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "[agent.sales]\nmatch = ^sales$\n  ^1\ntts.voice = joe\nllm.openai.model = x\nllm.openai.api_key = hush\n"
        "[openai]\nmatch = ^2\nkey = hush\n[agent.off]\ndisabled = true\n"
    )
    assert main(["check", "-c", str(write(tmp_path, text))]) == 0
    out = capsys.readouterr().out
    assert "# agent sales\nmatch = ^sales$\n  ^1\ntts.voice = joe\n" in out
    assert "llm.openai.api_key = ********\n" in out
    assert "# agent openai\nmatch = ^2\n# no effect: key\n" in out
    assert "# agent off\ndisabled\n" in out
    assert "hush" not in out


def test_what_is_wrong_with_an_agent_is_a_problem(tmp_path: Path) -> None:
    text = f"[agent.sales]\nmatch = (\n[agent.b]\ndialogue.knowledge = {tmp_path}/none.md\n"
    [problem] = check(write(tmp_path, text), {})[1]
    assert problem.startswith("agent.sales: match: ")
    [problem] = check(write(tmp_path, text.replace("(", "x")), {})[1]
    assert problem.startswith("agent.b: dialogue.knowledge: ")


def test_what_a_transport_lacks_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text("[transports]\nenabled = twilio\n[outbound]\nenabled = true\ncaller = +15005550006\n")
    _, problems, _ = check(path, {})
    assert [problem.partition(" ")[0] for problem in problems] == [
        "twilio.auth_token",
        "twilio.account_sid",
        "twilio.public_url",
    ]
