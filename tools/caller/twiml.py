"""The instructions that a call gets from the agent, as far as a caller notices them (Twilio, "TwiML for Voice")."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field


class TwimlError(ValueError):
    """Twilio would end the call with an error."""


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """The call's audio goes to that socket and back."""

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlayDigits:
    """Keys are pressed towards the caller."""

    digits: str


@dataclass(frozen=True, slots=True)
class Dial:
    """The caller is connected with somebody else; `action` is asked what follows."""

    target: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """The call is not answered."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Hangup:
    """The call is ended."""


Verb = ConnectStream | PlayDigits | Dial | Reject | Hangup


def parse_twiml(text: str) -> list[Verb]:
    """The verbs in their order.

    Raises:
        TwimlError: it is no TwiML, or has a verb that no agent of ours uses.
    """
    try:
        response = ET.fromstring(text)
    except ET.ParseError as error:
        raise TwimlError(f"no XML: {error}") from error
    if response.tag != "Response":
        raise TwimlError(f"<{response.tag}> in the place of <Response>")
    return [_verb(element) for element in response]


def _verb(element: ET.Element) -> Verb:
    match element.tag:
        case "Connect":
            stream = element.find("Stream")
            if stream is None or not stream.get("url"):
                raise TwimlError("<Connect> without the url of a <Stream>")
            parameters = {each.get("name", ""): each.get("value", "") for each in stream.findall("Parameter")}
            return ConnectStream(stream.get("url", ""), parameters)
        case "Play" if element.get("digits"):
            return PlayDigits(element.get("digits", ""))
        case "Dial":
            target = "".join(element.itertext()).strip()
            if not target:
                raise TwimlError("<Dial> of nobody")
            return Dial(target, element.get("action", ""))
        case "Reject":
            return Reject(element.get("reason", "rejected"))
        case "Hangup":
            return Hangup()
        case tag:
            raise TwimlError(f"<{tag}> is not known here")
