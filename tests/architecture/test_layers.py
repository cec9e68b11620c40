"""Imports point inward only: the contracts of pyproject.toml hold."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.repository import ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None, no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False, timeout=50
    )


def test_every_import_contract_is_kept() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    linted = lint(ROOT)
    assert linted.returncode == 0, linted.stdout[-4000:] + linted.stderr[-2000:]
    assert f"Contracts: {len(contracts)} kept, 0 broken." in linted.stdout


def test_every_package_of_core_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {name.strip() for line in contracts[0]["layers"] for name in line.split("|")}
    here = {path.stem for path in (ROOT / "core").iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert here == layers


def test_a_broken_contract_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "high.py").write_text("")
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "cellar.py").write_text("import house.roof\n")
    (package / "roof.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_package = "house"\n[[tool.importlinter.contracts]]\n'
        'name = "layers"\ntype = "layers"\nlayers = ["house.roof", "house.cellar"]\n'
    )
    linted = lint(tmp_path)
    assert linted.returncode == 1
    assert "house.cellar is not allowed to import house.roof" in linted.stdout
