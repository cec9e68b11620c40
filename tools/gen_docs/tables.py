"""Markdown tables, and the line that tells a reader where a page comes from."""

from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by `python -m tools.gen_docs`; change what it is written from. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
