"""What a caller asks of the call itself, rather than of the business."""

import re
from enum import Enum


class Intent(Enum):
    """A request that needs no knowledge and no model."""

    GOODBYE = "goodbye"
    TRANSFER = "transfer"
    REPEAT = "repeat"
    THANKS = "thanks"
    GREETING = "greeting"


_POLITE = (
    r"(?:(?:please|sorry|okay|ok|well|no|yes|alright|all right|great|good|thanks|thank you(?: very much| so much)?)"
    r"[,.!]?\s+)*"
)
_PERSON = (
    r"(?:a |an |the |some)?(?:real |human |live )?"
    r"(?:person|human|someone|somebody|agent|operator|representative|colleague|receptionist|member of staff)"
)
_GOODBYE = r"(?:good\s?bye|bye(?:[ -]bye)?)"

# Each must account for nearly the whole of what was said: "how do I say goodbye" is a question.
_PATTERNS: tuple[tuple[Intent, re.Pattern[str]], ...] = tuple(
    (intent, re.compile(pattern, re.IGNORECASE))
    for intent, pattern in (
        (
            Intent.GOODBYE,
            rf"^{_POLITE}(?:that(?:'s| is| was| will be) (?:all|it|everything)[^?]*|(?:{_GOODBYE}|see you)[^?]{{0,30}}"
            r"|(?:you can |please )?hang up(?: now| the phone)?(?: please)?)[.!]*$",
        ),
        (Intent.GOODBYE, rf"(?:^|[.,!] *|\b(?:thanks|thank you)\b[^?]{{0,20}}){_GOODBYE}[.!]*$"),
        (
            Intent.TRANSFER,
            r"\b(?:speak|talk|connect|transfer|put|pass|hand)\b[^?.]{0,30}"
            rf"\b(?:to|with|through|over)\b[^?.]{{0,12}}{_PERSON}\b"
            rf"|^{_POLITE}(?:transfer me|put me through|connect me|{_PERSON})\b[^?]{{0,20}}$",
        ),
        (
            Intent.REPEAT,
            rf"^{_POLITE}(?:(?:can|could|would|will) you (?:please )?)?(?:repeat(?: that| it)?|say (?:that|it) again"
            r"|pardon(?: me)?|come again|sorry,? what|what did you say|one more time)"
            r"(?: please| for me)?[?.!, ]*(?:please)?[?.!]*$",
        ),
        (
            Intent.THANKS,
            r"^(?:(?:okay|ok|great|perfect|alright),? )?(?:thanks|thank you)(?: very much| so much| a lot)?[.!]*$",
        ),
        (Intent.GREETING, r"^(?:hello|hi|hey|good (?:morning|afternoon|evening))(?: there)?[.!?]*$"),
    )
)


def recognise(text: str) -> Intent | None:
    """The intent that the whole of a text expresses, or None."""
    said = re.sub(r"\s+", " ", text.replace("\u2019", "'")).strip()
    return next((intent for intent, pattern in _PATTERNS if pattern.search(said)), None)
