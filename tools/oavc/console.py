"""What people see: lines on standard output, in colour only where a terminal shows them."""

import os
import sys

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def tell(text: str = "") -> None:
    """A line, shown at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def styled(text: str, *styles: str) -> str:
    """The text in those styles, unless nobody would see them (https://no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return "".join(f"\x1b[{_CODES[style]}m" for style in styles) + text + "\x1b[0m"
