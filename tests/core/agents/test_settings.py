"""Agents of a file: what they say differently, who answers which number, and what is wrong with them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from core.dialogue.settings import DialogueSettings, SessionSettings
from core.pipeline.settings import AudioSettings
from core.providers.llm.openai import OpenAiSettings
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.settings import Configuration, ConfigurationError, changed_for_a_restart, load_configuration, load_settings

SALES = "[agent.sales]\nmatch = ^sales$\n"


def configuration(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Configuration:
    path = tmp_path / "app.ini"
    path.write_text(text)
    return load_configuration(path, environ or {})


def problems(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        configuration(tmp_path, text, environ)
    return refused.value.problems


def test_an_agent_differs_in_what_it_says_and_in_nothing_else(tmp_path: Path) -> None:
    found = configuration(
        tmp_path,
        "[session]\nwelcome_message = Hello.\nsystem_prompt = Be kind.\n[tts]\nhost = voice.example\n"
        f"{SALES}session.welcome_message = Sales: hello.\ntts.voice = joe\nasr.phrases = Brompton, Moulton\n"
        "audio.endpoint_ms = 700\ndialogue.max_sentences = 3\nllm.temperature = 0.7\n",
    )
    [sales] = found.agents
    assert (sales.name, sales.own.match) == ("sales", "^sales$")
    session, tts = sales.settings[SessionSettings], sales.settings[TtsSettings]
    assert (session.welcome_message, session.system_prompt) == ("Sales: hello.", "Be kind.")
    assert (tts.voice, tts.host) == ("joe", "voice.example")
    assert sales.settings[AsrSettings].phrases == ("Brompton", "Moulton")
    assert sales.settings[AudioSettings].endpoint_ms == 700
    assert sales.settings[DialogueSettings].max_sentences == 3
    assert sales.settings[LlmSettings].temperature == 0.7
    assert found.settings[SessionSettings].welcome_message == "Hello."
    assert found.settings[TtsSettings].voice == ""
    assert found.default.name == "default"


def test_the_agent_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    text = (
        f"[session]\nwelcome_message = file\n{SALES}session.welcome_message = agent\n[agent.other]\nmatch = ^other$\n"
    )
    found = configuration(tmp_path, text, {"WELCOME_MESSAGE": "environment", "TTS_VOICE": "joe"})
    sales, other = found.agents
    assert sales.settings[SessionSettings].welcome_message == "agent"
    assert sales.settings[TtsSettings].voice == "joe"
    assert other.settings[SessionSettings].welcome_message == "environment"
    assert found.settings[SessionSettings].welcome_message == "environment"
    assert sales.settings.sources["session", "welcome_message"] == "agent.sales"
    assert other.settings.sources["session", "welcome_message"] == "env WELCOME_MESSAGE"


def test_an_agents_own_variables_win_over_its_section(tmp_path: Path) -> None:
    environ = {
        "WELCOME_MESSAGE": "environment",
        "OAVC_AGENT_SALES_MATCH": "^2",
        "OAVC_AGENT_SALES_SESSION_WELCOME_MESSAGE": "variable",
        "OAVC_AGENT_SALES_LLM_PROVIDER": "openai",
        "OAVC_AGENT_SALES_LLM_OPENAI_MODEL": "large",
        "OAVC_AGENT_SALES_LLM_OPENAI_API_KEY_FILE": str(tmp_path / "key"),
        "OAVC_AGENT_SALES_TTS_VOICE": "",
    }
    (tmp_path / "key").write_text("sesame\n")
    text = f"{SALES}session.welcome_message = agent\ntts.voice = joe\n"
    [sales] = configuration(tmp_path, text, environ).agents
    assert sales.own.match == "^2"
    assert sales.settings[SessionSettings].welcome_message == "variable"
    assert sales.settings[LlmSettings].provider == ("openai",)
    assert sales.settings[OpenAiSettings].model == "large"
    assert sales.settings[OpenAiSettings].api_key.get_secret_value() == "sesame"
    assert sales.settings[TtsSettings].voice == "joe"
    assert sales.settings.sources["session", "welcome_message"] == "env OAVC_AGENT_SALES_SESSION_WELCOME_MESSAGE"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("LLM_TEMPERATURE", "hot", "agent.sales: llm.temperature (OAVC_AGENT_SALES_LLM_TEMPERATURE): "),
        ("MATCH", "[", "agent.sales: match (OAVC_AGENT_SALES_MATCH): "),
        ("DISABLED", "perhaps", "agent.sales: disabled (OAVC_AGENT_SALES_DISABLED): "),
    ],
)
def test_what_is_wrong_with_an_agents_variable_is_told_with_its_name(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    [problem] = problems(tmp_path, SALES, {f"OAVC_AGENT_SALES_{name}": text})
    assert problem.startswith(told)


def test_agents_whom_the_environment_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "[agent.front-desk]\n[agent.front_desk]\n")
    assert problem == "[agent.front_desk]: the environment cannot tell it from [agent.front-desk]"


def test_a_provider_of_the_agents_own_is_set_up_by_its_own_section(tmp_path: Path) -> None:
    found = configuration(
        tmp_path,
        "[llm.openai]\nmodel = small\nurl = http://127.0.0.1:1/v1\n"
        f"{SALES}llm.provider = openai, scripted\nllm.openai.model = large\nllm.openai.api_key = hush\n",
        {"LLM_PROVIDER": "scripted", "OPENAI_API_KEY": "loud", "OPENAI_MODEL": "middle"},
    )
    own = found.agents[0].settings[OpenAiSettings]
    assert found.agents[0].settings[LlmSettings].provider == ("openai", "scripted")
    assert (own.model, own.url, own.api_key.get_secret_value()) == ("large", "http://127.0.0.1:1/v1", "hush")
    assert found.settings[OpenAiSettings].model == "middle"
    assert found.settings[LlmSettings].provider == ("scripted",)


def test_a_secret_in_a_file_of_the_environments_gives_way_too(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("loud")
    text = f"[llm.openai]\nmodel = small\n{SALES}llm.openai.api_key = hush\n"
    [sales] = configuration(tmp_path, text, {"OPENAI_API_KEY_FILE": str(secret)}).agents
    assert sales.settings[OpenAiSettings].api_key.get_secret_value() == "hush"


def test_agents_stand_in_the_order_of_the_file_without_those_that_are_disabled(tmp_path: Path) -> None:
    text = "[agent.b]\nmatch = 1\n[openai]\nmatch = 2\n[agent.c]\ndisabled = yes\nmatch = 3\n[agent.a]\nmatch = 4\n"
    found = configuration(tmp_path, text)
    assert [agent.name for agent in found.agents] == ["b", "openai", "a"]
    assert found.disabled == ("c",)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("session.welcome_mesage = x", "session.welcome_mesage: unknown key, did you mean 'welcome_message'?"),
        ("welcome_message = x", "welcome_message: unknown key, did you mean session.welcome_message?"),
        ("anything = x", "anything: unknown key"),
        ("disabled = perhaps", "disabled: "),
        ("match = ^a$, (b", "match: no regular expression: "),
        ("sesion.welcome_message = x", "sesion.welcome_message: [sesion] is no section of a call, did you mean "),
        ("performance.call_history = 1", "performance.call_history: [performance] is no section of a call; "),
        ("opensips.mi_port = 1", "opensips.mi_port: [opensips] is no section of a call; "),
        ("llm.brain.model = x", "llm.brain.model: [llm.brain] is no section of a call"),
        ("llm.openai.modle = x\nllm.openai.model = y", "llm.openai.modle: unknown key, did you mean 'model'?"),
        ("dialogue.max_sentences = 99", "dialogue.max_sentences: "),
        ("llm.provider = brain", "llm.provider: 'brain' is not known; known are "),
        ("llm.provider = openai", "llm.openai.model: required; "),
    ],
)
def test_whatever_is_wrong_with_an_agent_is_told_with_its_section_and_key(
    tmp_path: Path, lines: str, told: str
) -> None:
    [problem] = problems(tmp_path, f"[agent.sales]\n{lines}\n")
    assert problem.startswith(f"agent.sales: {told}")


@pytest.mark.parametrize("name", ["default", "", "a b", "a.b", "x" * 65, "é"])
def test_a_name_that_is_taken_or_unfit_for_logs_is_refused(tmp_path: Path, name: str) -> None:
    [problem] = problems(tmp_path, f"[agent.{name}]\nmatch = x\n")
    assert problem.startswith(f"[agent.{name}]: {name!r} is no name for an agent")


def test_what_is_wrong_with_the_whole_file_is_told_once_whatever_the_agents(tmp_path: Path) -> None:
    text = f"[audio]\nvad_threshold = loud\n[session]\nnonsense = 1\n{SALES}tts.voise = x\n[agent.b]\ntts.voise = x\n"
    assert sorted(problem.split(" should")[0] for problem in problems(tmp_path, text)) == [
        "agent.b: tts.voise: unknown key, did you mean 'voice'?",
        "agent.sales: tts.voise: unknown key, did you mean 'voice'?",
        "audio.vad_threshold: input",
        "session.nonsense: unknown key",
    ]


def test_transports_and_providers_that_are_not_there_are_told_together(tmp_path: Path) -> None:
    text = f"[transports]\nenabled = pigeon\n[llm]\nprovider = brain\n[tts]\nprovider = mouth\n{SALES}"
    assert [problem.split(";")[0] for problem in problems(tmp_path, text)] == [
        "transports.enabled: unknown transport 'pigeon'",
        "llm.provider: 'brain' is not known",
        "tts.provider: 'mouth' is not known",
    ]


def test_a_wrong_secret_of_an_agents_is_not_shown(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, f"{SALES}llm.openai.model = x\nllm.openai.api_key = file:/nowhere/hush\n")
    assert problem.startswith("agent.sales: llm.openai.api_key: cannot read the secret")


def test_load_settings_refuses_what_is_wrong_with_an_agent(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text("[agent.sales]\nmatch = (\n")
    with pytest.raises(ConfigurationError, match=r"agent\.sales: match"):
        load_settings(path, {})


UPSTREAM = """
[opensips]
ip = 127.0.0.2
[engine]
event_ip = 127.0.0.3
[deepgram]
key = theirs
speech_model = nova
disabled = true
match = ^8
[openai]
key = theirs
match = ["^sales$", "^7"]
[azure]
language = en-US
"""


def test_an_upstream_flavor_is_an_agent_like_the_default_one(tmp_path: Path) -> None:
    found = configuration(tmp_path, UPSTREAM)
    openai, azure = found.agents
    assert (openai.name, openai.ignored, openai.settings) == ("openai", ("key",), found.settings)
    assert [dialled for dialled in ("sales", "SALES", "700", "800", "sale") if openai.matches(dialled)] == [
        "sales", "SALES", "700"
    ]  # fmt: skip
    assert (azure.name, azure.ignored, azure.matches("anyone")) == ("azure", ("language",), False)
    assert found.disabled == ("deepgram",)


def test_a_whole_file_of_upstreams_starts_and_routes_by_its_matches(tmp_path: Path) -> None:
    found = configuration(
        tmp_path,
        """
[opensips]
ip = 127.0.0.1
port = 8087
[engine]
event_ip = 127.0.0.1
api_url = http://example.invalid/api
[rtp]
min_port = 35000
max_port = 65000
bind_ip = 0.0.0.0
ip = 192.0.2.1
[deepgram]
key = one
chatgpt_model = gpt-4o
disabled = false
match = deepgram
    ^sales$
[openai]
key = two
voice = alloy
match = ["openai", "^\\\\+49"]
[deepgram_native]
disabled = true
""",
    )
    names = [
        next((agent.name for agent in found.agents if agent.matches(dialled)), "default")
        for dialled in ("deepgram", "sales", "salesman", "openai", "+4930", "100", "deepgram_native")
    ]
    assert names == ["deepgram", "deepgram", "default", "openai", "openai", "default", "deepgram"]
    assert found.disabled == ("deepgram_native",)
    assert found.unread == ()


def test_upstreams_variable_disables_a_flavor_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    text = "[openai]\nmatch = a\n[deepgram]\ndisabled = no\nmatch = b\n"
    found = configuration(tmp_path, text, {"OPENAI_DISABLE": "true", "DEEPGRAM_DISABLE": "true"})
    assert ([agent.name for agent in found.agents], found.disabled) == (["deepgram"], ("openai",))


def test_a_flavor_whose_match_cannot_be_is_refused(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "[openai]\nmatch = ^(\n")
    assert problem.startswith("openai: match: no regular expression: ")


@pytest.mark.parametrize("section", ["audio", "engine", "asr_service"])
def test_match_makes_no_flavor_of_a_section_of_ours(tmp_path: Path, section: str) -> None:
    text = f"[{section}]\nmatch = x\n"
    if section == "asr_service":
        assert configuration(tmp_path, text).agents == ()
    else:
        assert problems(tmp_path, text) == (f"{section}.match: unknown key",)


def test_a_misspelt_agent_section_is_no_flavor(tmp_path: Path) -> None:
    assert problems(tmp_path, "[agents.sales]\nmatch = x\n") == ("[agents.sales]: unknown section",)


def test_keys_that_wait_for_a_restart_are_those_of_the_process_that_differ(tmp_path: Path) -> None:
    old = configuration(tmp_path, "[opensips]\nmi_port = 8080\n").settings
    new = configuration(
        tmp_path, "[opensips]\nmi_port = 8081\n[management]\ntoken = s\n[session]\nwelcome_message = x\n"
    ).settings
    assert sorted(changed_for_a_restart(old, new)) == ["management.token", "opensips.mi_port"]
    assert changed_for_a_restart(old, old) == []
