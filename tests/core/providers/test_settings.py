"""Where the services are, from the file and the environment."""

import pytest

from core.providers.settings import AsrSettings, LlmSettings, ServiceSettings, TtsSettings
from services.common.settings import ConfigurationError, load

STAGES: list[tuple[type[ServiceSettings], int]] = [(AsrSettings, 50051), (LlmSettings, 50052), (TtsSettings, 50053)]


@pytest.mark.parametrize(("section", "port"), STAGES)
def test_defaults_are_those_of_deployed_files(section: type[ServiceSettings], port: int) -> None:
    settings = load([section], {}, {})[section]
    assert (settings.host, settings.port, settings.timeout, settings.max_retries) == ("localhost", port, 30.0, 3)
    assert settings.provider == ("grpc",)


@pytest.mark.parametrize(("section", "port"), STAGES)
def test_the_environment_wins_over_the_file(section: type[ServiceSettings], port: int) -> None:
    name = section.section
    ini = {name: {"host": "file", "port": "1", "timeout": "2.5", "max_retries": "0"}}
    settings = load([section], ini, {f"{name.upper()}_SERVICE_HOST": "env"})[section]
    assert (settings.host, settings.port, settings.timeout, settings.max_retries) == ("env", 1, 2.5, 0)
    settings = load([section], ini, {f"{name.upper()}_SERVICE_PORT": str(port)})[section]
    assert (settings.host, settings.port) == ("file", port)


@pytest.mark.parametrize(("key", "value"), [("port", "0"), ("port", "65536"), ("timeout", "0"), ("max_retries", "-1")])
def test_impossible_values_are_named(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load([LlmSettings], {"llm": {key: value}}, {})
    assert f"llm.{key}" in str(refused.value)
