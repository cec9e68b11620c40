"""The configuration of each guide in docs/providers, led to a server of its kind: every provider in force is ready."""

import re
from pathlib import Path

import pytest

from core.providers.registry import PROVIDERS
from core.settings import load_configuration
from tests.integration.far_ends import Chosen, far_ends
from tools.oavc.providers import check

GUIDES = sorted((Path(__file__).parents[2] / "docs" / "providers").glob("*.md"))
FROM_THE_GUIDE = {
    "grpc": Chosen("grpc", "grpc", "grpc"),
    "vosk_ws": Chosen("vosk_ws", "grpc", "grpc"),
    "ollama": Chosen("grpc", "ollama", "grpc"),
    "openai": Chosen("grpc", "openai", "grpc"),
    "llama_ws": Chosen("grpc", "llama_ws", "grpc"),
    "piper_ws": Chosen("grpc", "grpc", "piper_ws"),
}


def test_every_provider_that_talks_to_a_server_has_a_guide() -> None:
    named = {name for names in PROVIDERS.values() for name in names}
    assert {guide.stem for guide in GUIDES} == FROM_THE_GUIDE.keys() == named - {"scripted"}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
async def test_the_guides_configuration_is_ready_where_its_server_is(tmp_path: Path, guide: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text(_configuration(guide), encoding="utf-8")
    chosen = FROM_THE_GUIDE[guide.stem]
    async with far_ends(chosen) as ends:
        # Where the servers are, and no more: the file says which provider it is.
        environ = {name: value for name, value in ends.environ.items() if not name.endswith("_PROVIDER")}
        verdicts = await check(load_configuration(path, environ))
    assert {each.stage: each.name for each in verdicts} == chosen.by_stage()
    assert [(each.name, each.reason) for each in verdicts if not each.ready] == []


def _configuration(guide: Path) -> str:
    return "\n".join(re.findall(r"```ini\n(.*?)```", guide.read_text("utf-8"), re.DOTALL))
