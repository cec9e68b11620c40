"""Every module says in one sentence what it is for."""

import ast
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, modules


def lacks_docstring(source: str) -> bool:
    """An empty file has nothing to explain."""
    tree = ast.parse(source)
    return bool(tree.body) and not (ast.get_docstring(tree) or "").strip()


def test_no_module_lacks_a_docstring() -> None:
    lacking = [str(path.relative_to(ROOT)) for path in modules() if lacks_docstring(path.read_text("utf-8"))]
    assert lacking == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in modules()}
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    ("source", "lacking"), [("", False), ('"""Says it."""\n', False), ("x = 1\n", True), ('""""""\nx = 1', True)]
)
def test_what_counts_as_lacking(source: str, lacking: bool) -> None:
    assert lacks_docstring(source) is lacking


def test_modules_of_every_part_are_looked_at() -> None:
    tops = {path.relative_to(ROOT).parts[0] for path in modules()}
    assert tops == {"core", "services", "tools", "tests"}
    assert Path(__file__) in set(modules())
