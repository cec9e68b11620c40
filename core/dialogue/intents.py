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
_GOODBYE = r"(?:good\s?bye|bye(?:-bye)?)"
_SEE_YOU = r"see you(?: (?:later|soon|around|then|today|tomorrow|next \w+|on \w+|at \w+))*+"
# What may follow a goodbye without making something else of it; possessive, as recognisers like to repeat "bye".
_CLOSING = (
    r"(?:[,.!]*\s+(?:please|now|then|too|for (?:now|today|your (?:help|time))"
    rf"|(?:that )?i (?:need|needed|wanted)(?: to know)?|thanks|thank you(?: very much| so much)?|{_GOODBYE}|{_SEE_YOU}"
    r"|take care|have a (?:nice|good|great|lovely) (?:day|one|evening|weekend)))*+"
)
# "Do I have to talk to somebody?" asks for no one.
_NO_WISH = r"(?!.*\b(?:do i (?:have|need) to|must i|should i|(?:don't|do not) (?:want|need|have) to)\b)"

# Each must account for nearly the whole of what was said: "how do I say goodbye" is a question.
_PATTERNS: tuple[tuple[Intent, re.Pattern[str]], ...] = tuple(
    (intent, re.compile(pattern, re.IGNORECASE))
    for intent, pattern in (
        (
            Intent.GOODBYE,
            rf"^{_POLITE}(?:that(?:'s| is| was| will be) (?:all|it|everything)|{_GOODBYE}|{_SEE_YOU}"
            rf"|(?:you can |please )?hang up(?: the phone)?){_CLOSING}[.!]*$",
        ),
        (Intent.GOODBYE, rf"(?:^|[.,!] *|\b(?:thanks|thank you)\b[^?]{{0,20}}){_GOODBYE}[.!]*$"),
        (
            Intent.TRANSFER,
            rf"^{_NO_WISH}.*\b(?:(?:speak|talk)\b[^?.]{{0,12}}\b(?:to|with)"
            r"|(?:connect|transfer|put|pass|hand) (?:me|us|this call|the call|my call)\b[^?.]{0,12}\b(?:to|with)"
            rf"|(?:put through|connected|transferred) (?:to|with))\b[^?.]{{0,12}}{_PERSON}\b"
            rf"|^{_POLITE}(?:transfer me|put me through|connect me)\b[^?]{{0,20}}$"
            rf"|^{_POLITE}(?:(?:i want|i need|i'd like|get me|give me|can i have) )?{_PERSON}{_CLOSING}[.!?]*$",
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
