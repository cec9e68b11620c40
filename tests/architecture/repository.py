"""The files that the tests of the whole look at."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("core", "services", "tools", "tests")
DOCUMENTS = ("*.md", "docs/**/*.md", ".github/**/*.md", "k8s/**/*.md", "deploy/**/*.md", "tools/**/*.md")


def modules() -> Iterator[Path]:
    """Every Python file of ours."""
    for top in SOURCES:
        yield from (path for path in sorted((ROOT / top).rglob("*.py")) if "__pycache__" not in path.parts)


def documents() -> list[Path]:
    """Every Markdown file of ours."""
    return sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)})
