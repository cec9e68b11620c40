"""Writes every generated page below docs/: `python -m tools.gen_docs`."""

import sys
from pathlib import Path

from tools.gen_docs import configuration, metrics

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"docs/configuration.md": configuration.page, "docs/metrics.md": metrics.page}


def main() -> int:
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
