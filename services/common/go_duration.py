"""Durations as Go's command lines take them: "250ms", "1.5s", "1m30s" (time.ParseDuration)."""

import argparse
import re

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration_s(text: str) -> float:
    """Seconds; more than none. Raises argparse.ArgumentTypeError."""
    total_s = 0.0
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise argparse.ArgumentTypeError(f"invalid duration {text!r}, expected such as 250ms, 1s, 1m30s")
        total_s += float(part[1]) * _UNIT_S[part[2]]
        position = part.end()
    if total_s <= 0:
        raise argparse.ArgumentTypeError(f"must be greater than zero (specified: {text!r})")
    return total_s
