"""What the documents say is so: links lead somewhere, metrics exist, generated pages are current."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from core.providers.registry import PROVIDERS
from core.transports.registry import known_transports
from tests.architecture.repository import ROOT, documents, modules
from tools.gen_docs.__main__ import PAGES
from tools.gen_docs.metrics import names

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)
_METRIC = re.compile(r"\boavc_[a-z0-9_]+[a-z0-9]\b")
_PARTS_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")


def links(text: str) -> list[str]:
    """Targets within the repository, code left out."""
    prose = _CODE.sub("", _FENCE.sub("", text))
    found = [first or second for first, second in _LINK.findall(prose)]
    return [target for target in found if not _ELSEWHERE.match(target)]


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page have."""
    headings = re.findall(r"^#+\s+(.*?)\s*#*$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    broken = []
    for target in links(document.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        page = _page(document, unquote(path))
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors(page.read_text("utf-8"))):
            broken.append(target)
    return broken


def _page(document: Path, path: str) -> Path:
    if not path:
        return document
    return ROOT / path.lstrip("/") if path.startswith("/") else document.parent / path


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: of two parts\n[here](page.md) [part](#a-heading-of-two-parts) [away](https://example.org/x)\n"
        "[gone](gone.md) [no part](page.md#none) `[code](not-a-link.md)`\n[reference]: missing.md\n"
    )
    assert broken_links(page) == ["gone.md", "page.md#none", "missing.md"]


@pytest.mark.parametrize("name", known_transports())
def test_every_transport_has_a_guide_that_the_readme_names(name: str) -> None:
    assert f"docs/{name}.md" in links((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted({each for names in PROVIDERS.values() for each in names} - {"scripted"}))
def test_every_provider_has_a_guide_that_the_readme_names(name: str) -> None:
    assert f"docs/providers/{name}.md" in links((ROOT / "README.md").read_text("utf-8"))


def test_every_module_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`((?:[\w]+/)*\w+\.py)`", (ROOT / "ARCHITECTURE.md").read_text("utf-8")))
    there = {path.relative_to(ROOT).as_posix() for path in modules()}
    names = {path.rpartition("/")[2] for path in there}
    assert len(named) > 40
    assert {name for name in named if name not in (there if "/" in name else names)} == set()


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each["type"] == "layers" and "__main__" in each["layers"]]
    told = " ".join((ROOT / "ARCHITECTURE.md").read_text("utf-8").split())
    assert f"`{' > '.join(layers)}`" in told


def metrics_named_in(text: str) -> set[str]:
    found = set(_METRIC.findall(text))
    return {name.removesuffix(part) for name in found for part in _PARTS_OF_A_HISTOGRAM if name.endswith(part)} | {
        name for name in found if not name.endswith(_PARTS_OF_A_HISTOGRAM)
    }


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_named_in_a_document_exists(document: Path) -> None:
    assert metrics_named_in(document.read_text("utf-8")) <= names()


def test_metrics_of_every_process_are_known() -> None:
    assert {
        "oavc_calls_total",
        "oavc_active_calls",
        "oavc_rpc_total",
        "oavc_asr_pass_seconds",
        "oavc_llm_first_token_seconds",
        "oavc_tts_clauses_total",
    } <= names()
    assert metrics_named_in("rate(oavc_call_mos_bucket[5m]) of oavc_rpc_total") == {"oavc_call_mos", "oavc_rpc_total"}


@pytest.mark.parametrize("name", PAGES)
def test_every_generated_page_is_current(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == PAGES[name](), "run: python -m tools.gen_docs"
