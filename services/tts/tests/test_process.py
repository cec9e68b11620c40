"""The service's process: its settings and its exit code."""

import pytest

from services.common.lifecycle import Lifecycle
from services.common.process import load_service_settings
from services.common.settings import ConfigurationError, load
from services.tts import __main__ as process
from services.tts.service import TtsService
from services.tts.settings import SynthesisSettings


def test_the_process_serves_what_its_settings_say() -> None:
    built = process.build({})
    loaded = load_service_settings(built, {"TTS_VOICE": "other", "OAVC_CONFIG_FILE": ""})
    assert (built.name, loaded[built.server_settings].port) == ("tts", 50053)
    service = process.create(loaded, Lifecycle())
    assert isinstance(service, TtsService)
    assert service.name == "tts-service"
    assert loaded[SynthesisSettings].voice == "other"


def test_the_process_ends_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "run_service", lambda build: 2 if build is process.build else 0)
    assert process.main() == 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TTS_ENGINE", "siren"), ("TTS_SAMPLE_RATE", "44100"), ("TTS_SPEAKING_RATE", "3"), ("TTS_RENDERERS", "0")],
)
def test_an_impossible_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        load([SynthesisSettings], {}, {variable: value})
