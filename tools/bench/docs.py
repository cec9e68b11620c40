"""Puts measured tables into docs/benchmarks.md, between the markers that name their benchmark."""

import re
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = Path("docs/benchmarks.md")


class MarkerError(Exception):
    """The document has no place for a table, or one that does not end."""


def begin_marker(name: str) -> str:
    return f"<!-- bench:{name} -->"


def end_marker(name: str) -> str:
    return f"<!-- /bench:{name} -->"


def replaced(text: str, tables: Mapping[str, str]) -> str:
    """The document with these tables in place of what stood there; all else stays as it is.

    Raises:
        MarkerError: names the benchmark.
    """
    for name, table in tables.items():
        between = re.compile(rf"(?<={re.escape(begin_marker(name))}\n).*?(?={re.escape(end_marker(name))})", re.DOTALL)
        # A function, so that a backslash in a table is no reference to a group.
        text, count = between.subn(lambda _, table=table: f"\n{table}\n\n", text)  # type: ignore[misc]
        if count != 1:
            raise MarkerError(f"{begin_marker(name)} and {end_marker(name)} occur {count} times, not once")
    return text
