"""The environment variable that every key has, and those that look like one and are nobody's."""

import difflib
from collections.abc import Collection, Mapping

PREFIX = "OAVC_"
# Names the file itself, which no key can.
CONFIG_FILE_ENV = "OAVC_CONFIG_FILE"
# What such a variable holds is the path of a file with the secret.
SECRET_FILE = "_FILE"


def variable(*place: str) -> str:
    """OAVC_LLM_OLLAMA_MODEL for the key `model` of `[llm.ollama]`."""
    return PREFIX + "_".join(place).replace(".", "_").replace("-", "_").upper()


def unread(environ: Mapping[str, str], known: Collection[str], others: Collection[str]) -> list[str]:
    """What is told of each variable that begins as ours do and that nobody reads: its name, and which may be meant.

    Args:
        known: variables that are read.
        others: sections that other processes read, or that are in use at other times.
    """
    theirs = tuple(f"{variable(each)}_" for each in others)
    names = sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and name != CONFIG_FILE_ENV and name not in known and not name.startswith(theirs)
    )
    ours = [each for each in known if each.startswith(PREFIX)]
    return [f"{name}{_meant(name, ours)}" for name in names]


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f" (did you mean {close[0]}?)" if close else ""
