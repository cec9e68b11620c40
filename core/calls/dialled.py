"""What may be dialled at all, in one spelling: numbers with their plus (ITU-T E.164), and plain SIP URIs (RFC 3261)."""

import re

# A country code and a subscriber: the shortest numbers in use have seven digits, short codes and emergencies fewer.
_E164 = re.compile(r"\+[1-9](?:[ -]?[0-9]){6,14}")
# No password, header or parameter but the transport: those would be instructions to whoever routes the call.
_SIP_URI = re.compile(
    r"(?P<scheme>sips?):(?P<user>[a-z0-9+][a-z0-9._~+-]{0,63})@(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
    r"(?P<port>:[0-9]{1,5})?(?P<transport>;transport=(?:udp|tcp|tls))?",
    re.IGNORECASE | re.ASCII,
)
_SEPARATORS = str.maketrans("", "", " -")
_SIZE_MAX = 400


def dialled(text: str) -> str:
    """The number or URI that a text means: without spaces and dashes, scheme and host in lower case.

    Raises:
        ValueError: it is neither; the message does not repeat it.
    """
    text = text.strip(" ")
    if len(text) <= _SIZE_MAX:
        if _E164.fullmatch(text):
            return text.translate(_SEPARATORS)
        uri = _SIP_URI.fullmatch(text)
        if uri is not None:
            port, transport = uri["port"] or "", (uri["transport"] or "").lower()
            return f"{uri['scheme'].lower()}:{uri['user']}@{uri['host'].lower()}{port}{transport}"
    raise ValueError("neither a number in E.164 with its plus, nor a plain SIP URI")
