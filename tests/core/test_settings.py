"""Every name that deployed files and environments use still loads and takes effect, and nothing unknown does."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from core.calls.settings import CallSettings
from core.dialogue.settings import SessionSettings
from core.management.settings import ManagementSettings
from core.media.settings import MediaSettings
from core.pipeline.settings import AudioSettings
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.settings import SECTIONS, CoreLogSettings, config_file, load_settings
from core.transports.opensips.settings import OpenSipsSettings
from services.asr.__main__ import build as build_asr
from services.common.settings import ConfigurationError, Loaded, Section, describe, effective, read_ini
from services.llm.__main__ import build as build_llm
from services.tts.__main__ import build as build_tts

ROOT = Path(__file__).parents[2]

# Section and key of a deployed file, a value that is not the default, and where it must arrive.
FILE: list[tuple[str, str, str, type[Section], str, object]] = [
    ("opensips", "event_ip", "127.0.0.9", OpenSipsSettings, "event_ip", "127.0.0.9"),
    ("opensips", "event_port", "8091", OpenSipsSettings, "event_port", 8091),
    ("opensips", "sip_ip", "127.0.0.9", OpenSipsSettings, "sip_ip", "127.0.0.9"),
    ("opensips", "sip_port", "8099", OpenSipsSettings, "sip_port", 8099),
    ("opensips", "rtp_bind_ip", "127.0.0.9", MediaSettings, "rtp_bind_ip", "127.0.0.9"),
    ("opensips", "rtp_min_port", "35010", MediaSettings, "rtp_min_port", 35010),
    ("opensips", "rtp_max_port", "35050", MediaSettings, "rtp_max_port", 35050),
    *(
        (section.section, key, text, section, key, value)
        for section in (AsrSettings, LlmSettings, TtsSettings)
        for key, text, value in (
            ("host", "far.example", "far.example"),
            ("port", "6000", 6000),
            ("timeout", "12.5", 12.5),
            ("max_retries", "0", 0),
        )
    ),
    ("audio", "sample_rate", "8000", AudioSettings, "sample_rate", 8000),
    ("audio", "channels", "1", AudioSettings, "channels", 1),
    ("audio", "chunk_size_ms", "20", AudioSettings, "chunk_size_ms", 20),
    ("audio", "silence_timeout_ms", "800", AudioSettings, "silence_timeout_ms", 800),
    ("audio", "vad_threshold", "0.7", AudioSettings, "vad_threshold", 0.7),
    ("logging", "level", "DEBUG", CoreLogSettings, "level", "DEBUG"),
    ("logging", "format", "%(asctime)s %(message)s", CoreLogSettings, "format", "%(asctime)s %(message)s"),
    ("logging", "file", "logs/core.log", CoreLogSettings, "file", Path("logs/core.log")),
    ("session", "system_prompt", "Be brief.", SessionSettings, "system_prompt", "Be brief."),
    ("session", "max_conversation_length", "4", SessionSettings, "max_conversation_length", 4),
    ("session", "welcome_message", "Moin!", SessionSettings, "welcome_message", "Moin!"),
    ("performance", "max_concurrent_sessions", "3", CallSettings, "max_concurrent_sessions", 3),
    ("performance", "session_timeout_minutes", "5", CallSettings, "session_timeout_minutes", 5.0),
    ("performance", "memory_limit_mb", "1024", CallSettings, "memory_limit_mb", 1024),
    # The upstream connector's names.
    ("opensips", "ip", "127.0.0.9", OpenSipsSettings, "mi_ip", "127.0.0.9"),
    ("opensips", "port", "8888", OpenSipsSettings, "mi_port", 8888),
    ("engine", "event_ip", "127.0.0.9", OpenSipsSettings, "event_ip", "127.0.0.9"),
    ("engine", "event_port", "0", OpenSipsSettings, "event_port", 0),
    ("rtp", "bind_ip", "127.0.0.9", MediaSettings, "rtp_bind_ip", "127.0.0.9"),
    ("rtp", "min_port", "35010", MediaSettings, "rtp_min_port", 35010),
    ("rtp", "max_port", "65000", MediaSettings, "rtp_max_port", 65000),
    ("rtp", "ip", "203.0.113.9", OpenSipsSettings, "advertised_ip", "203.0.113.9"),
]

ENVIRONMENT: list[tuple[str, str, type[Section], str, object]] = [
    ("OPENSIPS_EVENT_IP", "127.0.0.9", OpenSipsSettings, "event_ip", "127.0.0.9"),
    ("OPENSIPS_EVENT_PORT", "8091", OpenSipsSettings, "event_port", 8091),
    ("OPENSIPS_SIP_IP", "127.0.0.9", OpenSipsSettings, "sip_ip", "127.0.0.9"),
    ("OPENSIPS_SIP_PORT", "8099", OpenSipsSettings, "sip_port", 8099),
    ("OPENSIPS_RTP_BIND_IP", "127.0.0.9", MediaSettings, "rtp_bind_ip", "127.0.0.9"),
    ("OPENSIPS_RTP_MIN_PORT", "35010", MediaSettings, "rtp_min_port", 35010),
    ("OPENSIPS_RTP_MAX_PORT", "35050", MediaSettings, "rtp_max_port", 35050),
    ("ASR_SERVICE_HOST", "far.example", AsrSettings, "host", "far.example"),
    ("ASR_SERVICE_PORT", "6001", AsrSettings, "port", 6001),
    ("LLM_SERVICE_HOST", "far.example", LlmSettings, "host", "far.example"),
    ("LLM_SERVICE_PORT", "6002", LlmSettings, "port", 6002),
    ("TTS_SERVICE_HOST", "far.example", TtsSettings, "host", "far.example"),
    ("TTS_SERVICE_PORT", "6003", TtsSettings, "port", 6003),
    ("AUDIO_SAMPLE_RATE", "8000", AudioSettings, "sample_rate", 8000),
    ("AUDIO_CHANNELS", "1", AudioSettings, "channels", 1),
    ("AUDIO_CHUNK_SIZE_MS", "20", AudioSettings, "chunk_size_ms", 20),
    ("AUDIO_SILENCE_TIMEOUT_MS", "800", AudioSettings, "silence_timeout_ms", 800),
    ("AUDIO_VAD_THRESHOLD", "0.7", AudioSettings, "vad_threshold", 0.7),
    ("LOG_LEVEL", "ERROR", CoreLogSettings, "level", "ERROR"),
    ("CORE_LOG_LEVEL", "DEBUG", CoreLogSettings, "level", "DEBUG"),
    ("LOG_FORMAT", "json", CoreLogSettings, "format", "json"),
    ("LOG_FILE", "logs/core.log", CoreLogSettings, "file", Path("logs/core.log")),
    ("MI_IP", "127.0.0.9", OpenSipsSettings, "mi_ip", "127.0.0.9"),
    ("MI_PORT", "8888", OpenSipsSettings, "mi_port", 8888),
    ("EVENT_IP", "127.0.0.9", OpenSipsSettings, "event_ip", "127.0.0.9"),
    ("EVENT_PORT", "8091", OpenSipsSettings, "event_port", 8091),
    ("RTP_BIND_IP", "127.0.0.9", MediaSettings, "rtp_bind_ip", "127.0.0.9"),
    ("RTP_MIN_PORT", "35010", MediaSettings, "rtp_min_port", 35010),
    ("RTP_MAX_PORT", "65000", MediaSettings, "rtp_max_port", 65000),
    ("RTP_IP", "203.0.113.9", OpenSipsSettings, "advertised_ip", "203.0.113.9"),
]
WITHOUT_EFFECT = ["DEVELOPMENT_MODE", "CORE_HOT_RELOAD", "ASR_ENABLE_DEBUG", "VOSK_SHOW_WORDS", "API_URL"]

UPSTREAM_FILE = """
[opensips]
ip = 127.0.0.2
port = 8081

[engine]
event_ip = 127.0.0.3
event_port = 0
api_url = https://api.example/

[rtp]
min_port = 40000
max_port = 40100
bind_ip = 127.0.0.4
ip = 203.0.113.4

[openai]
disabled = false
match = ^sales$
key = none-of-ours

[deepgram]
disabled = true
speech_model = nova
"""


def loaded(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    path = tmp_path / "app.ini"
    path.write_text(text)
    return load_settings(path, environ or {})


@pytest.mark.parametrize(("section", "key", "text", "owner", "name", "value"), FILE)
def test_each_key_of_a_deployed_file_takes_effect(
    tmp_path: Path, section: str, key: str, text: str, owner: type[Section], name: str, value: object
) -> None:
    settings = loaded(tmp_path, f"[{section}]\n{key} = {text}\n")
    assert getattr(settings[owner], name) == value


@pytest.mark.parametrize(("variable", "text", "owner", "name", "value"), ENVIRONMENT)
def test_each_variable_takes_effect_and_wins_over_the_file(
    tmp_path: Path, variable: str, text: str, owner: type[Section], name: str, value: object
) -> None:
    of_file = "\n".join(
        f"[{section}]\n{key} = {text}"
        for section, key, text, file_owner, file_name, file_value in FILE
        if (file_owner, file_name) == (owner, name) and section == owner.section and file_value != value
    )
    settings = loaded(tmp_path, of_file, {variable: text})
    assert getattr(settings[owner], name) == value
    assert settings.sources[owner.section, name] == f"env {variable}"


def test_cores_own_log_level_wins_over_that_of_all(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "", {"LOG_LEVEL": "ERROR", "CORE_LOG_LEVEL": "DEBUG"})
    assert settings[CoreLogSettings].level == "DEBUG"


@pytest.mark.parametrize("variable", WITHOUT_EFFECT)
def test_variables_that_core_has_no_use_for_are_no_error(tmp_path: Path, variable: str) -> None:
    assert effective(loaded(tmp_path, "", {variable: "true"})) == effective(loaded(tmp_path, ""))


def test_the_defaults_are_those_of_deployed_installations() -> None:
    settings = load_settings(None, {})
    opensips, media, audio, calls = (
        settings[OpenSipsSettings],
        settings[MediaSettings],
        settings[AudioSettings],
        settings[CallSettings],
    )
    assert (opensips.event_ip, opensips.event_port, opensips.sip_ip, opensips.sip_port) == (
        ("0.0.0.0", 8090, "0.0.0.0", 8089)
    )
    assert (opensips.mi_ip, opensips.mi_port) == ("127.0.0.1", 8080)
    assert (media.rtp_bind_ip, media.rtp_min_port, media.rtp_max_port) == ("0.0.0.0", 35000, 35100)
    assert (audio.sample_rate, audio.channels, audio.chunk_size_ms) == (16000, 1, 20)
    assert (audio.silence_timeout_ms, audio.vad_threshold) == (1000, 0.5)
    assert (calls.max_concurrent_sessions, calls.session_timeout_minutes, calls.memory_limit_mb) == (10, 30, 512)
    assert settings[SessionSettings].max_conversation_length == 10
    assert settings[CoreLogSettings].level == "INFO"


def test_the_upstream_connectors_file_loads(tmp_path: Path) -> None:
    settings = loaded(tmp_path, UPSTREAM_FILE)
    opensips, media = settings[OpenSipsSettings], settings[MediaSettings]
    assert (opensips.mi_ip, opensips.mi_port) == ("127.0.0.2", 8081)
    assert (opensips.event_ip, opensips.event_port, opensips.advertised_ip) == ("127.0.0.3", 0, "203.0.113.4")
    assert (media.rtp_bind_ip, media.rtp_min_port, media.rtp_max_port) == ("127.0.0.4", 40000, 40100)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = "[opensips]\nmi_prot = 1\nevent_port = 70000\n[nonsense]\na = 1\n[audio]\nvad_threshold = loud\n"
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, text, {"MAX_CONCURRENT_SESSIONS": "0"})
    told = refused.value.problems
    assert len(told) == 5
    for expected in (
        "opensips.mi_prot: unknown key, did you mean 'mi_port'?",
        "opensips.event_port",
        "[nonsense]: unknown section",
        "audio.vad_threshold",
        "performance.max_concurrent_sessions (MAX_CONCURRENT_SESSIONS)",
    ):
        assert any(problem.startswith(expected) for problem in told), (expected, told)


def test_sections_of_the_services_may_stand_in_the_same_file(tmp_path: Path) -> None:
    own = {section.section for section in SECTIONS}
    theirs = {
        section.section for build in (build_asr, build_llm, build_tts) for section in build({}).all_sections
    } - own
    assert theirs
    loaded(tmp_path, "".join(f"[{name}]\nanything = 1\n" for name in sorted(theirs)))


def test_no_two_keys_read_the_same_variable() -> None:
    keys = list(describe(SECTIONS))
    variables = [variable for key in keys for variable in key.env]
    assert sorted(set(variables)) == sorted(variables)
    assert all(key.help for key in keys)


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.ini")), ids=lambda path: path.name)
def test_every_file_that_is_shipped_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = load_settings(path, {})
    for section, keys in read_ini(path).items():
        for key in keys:
            assert settings.sources.get((section, key)) == "file" or section in ("opensips", "asr_service")


def test_secrets_are_masked(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "", {"MANAGEMENT_TOKEN": "s3cret"})
    token = settings[ManagementSettings].token
    assert token is not None
    assert token.get_secret_value() == "s3cret"
    shown = effective(settings)
    assert "token = ********  # env MANAGEMENT_TOKEN" in shown
    assert "s3cret" not in shown + repr(settings[ManagementSettings])


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, "", {"MANAGEMENT_TOKEN_FILE": str(tmp_path / "none")})
    assert "management.token" in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "argument", "found"),
    [
        ({}, None, "config/app.ini"),
        ({"CONFIG_FILE": "b.ini"}, None, "b.ini"),
        ({"OAVC_CONFIG_FILE": "a.ini", "CONFIG_FILE": "b.ini"}, None, "a.ini"),
        ({"OAVC_CONFIG_FILE": "", "CONFIG_FILE": "b.ini"}, None, "b.ini"),
        ({"OAVC_CONFIG_FILE": "a.ini"}, "c.ini", "c.ini"),
    ],
)
def test_the_file_is_the_one_named_nearest(
    environ: dict[str, str], argument: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert config_file(environ, argument) == Path(found)


def test_without_any_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file({}) is None


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "none.ini", {})
