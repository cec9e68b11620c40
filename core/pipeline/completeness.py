"""Whether words read like a finished sentence, or like the beginning of one."""

import re

_OPEN_END = re.compile(
    r"(?:\b(?:and|or|but|so|because|if|when|that|which|who|the|a|an|my|your|our|their|to|of|in|on|at|for|from|with|by|"
    r"about|is|are|was|were|do|does|can|could|would|will|i|you|we|they|um|uh|er|well|like|it's|i'm)|,|-|\.\.\.|\u2026)$",
    re.IGNORECASE,
)
# What people say before they say something.
_LEAD_IN = re.compile(
    r"^(?:sorry|excuse me|hello|hi|hey|okay|ok|so|well|right|um|uh|er|and|but)[.,!?]*$", re.IGNORECASE
)
_SPELLING = re.compile(r"(?:\b(?:[A-Z]|\d+)\b[-,. ]*){2,}[.]?$")


def seems_complete(text: str) -> bool:
    """Whether the caller is likely to have finished after these words.

    Letters and digits spelled one by one are never complete: more may follow after a breath.
    """
    said = text.strip()
    bare = said.rstrip(".?! ")
    if not bare or said.endswith(("...", "\u2026")):
        return False
    return not (_OPEN_END.search(bare) or _LEAD_IN.match(said) or _SPELLING.search(said))
