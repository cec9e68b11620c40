"""The codecs an m= line offers: payload types bound by rtpmap and fmtp (RFC 3551 6, RFC 4855)."""

from dataclasses import dataclass

from core.sdp.session import MediaDescription

# Payload types that need no rtpmap (RFC 3551 6).
_STATIC = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    5: ("DVI4", 8000, 1),
    6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1),
    13: ("CN", 8000, 1),
    14: ("MPA", 90000, 1),
    15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1),
    17: ("DVI4", 22050, 1),
    18: ("G729", 8000, 1),
}
TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "CN"
COMFORT_NOISE_PAYLOAD_TYPE = 13
_HIGHEST_KEY_EVENT = 15


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of an m= line, with what it is bound to."""

    payload_type: int
    name: str
    clock_rate_hz: int
    channels: int = 1
    parameters: str = ""

    @property
    def is_speech(self) -> bool:
        """Whether it carries speech, rather than keys or noise beside it."""
        return self.name.lower() != TELEPHONE_EVENT and self.name.upper() != COMFORT_NOISE


def offered_formats(media: MediaDescription) -> list[Format]:
    """The payload types of an m= line that mean something, in the offerer's order, each once."""
    mappings = _by_payload_type(media.values("rtpmap"))
    parameters = _by_payload_type(media.values("fmtp"))
    formats: dict[int, Format] = {}
    for text in media.formats:
        payload_type = _number(text)
        if payload_type is None or payload_type > 127 or payload_type in formats:
            continue
        bound = _parse_encoding(mappings.get(payload_type, "")) or _STATIC.get(payload_type)
        if bound is not None:
            formats[payload_type] = Format(payload_type, *bound, parameters.get(payload_type, ""))
    return list(formats.values())


def key_events(parameters: str) -> str:
    """Of an offer's telephone-event parameters the events that are keys, 0 to 15 (RFC 4733 2.4.1, 3.2).

    No parameters, or none that can be read, mean all of them.
    """
    events: set[int] = set()
    for item in parameters.replace(" ", "").split(","):
        first, dash, last = item.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is not None and high is not None:
            events.update(range(low, min(high, _HIGHEST_KEY_EVENT) + 1))
    if not events:
        return f"0-{_HIGHEST_KEY_EVENT}"
    runs: list[list[int]] = []
    for event in sorted(events):
        if runs and event == runs[-1][-1] + 1:
            runs[-1].append(event)
        else:
            runs.append([event])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _by_payload_type(values: list[str]) -> dict[int, str]:
    bound: dict[int, str] = {}
    for value in values:
        payload_type, _, rest = value.partition(" ")
        number = _number(payload_type)
        if number is not None:
            bound.setdefault(number, rest.strip())
    return bound


def _parse_encoding(text: str) -> tuple[str, int, int] | None:
    """The `name/clock[/channels]` of an rtpmap."""
    name, _, rest = text.partition("/")
    clock, slash, channels = rest.partition("/")
    clock_rate_hz, channel_count = _number(clock), _number(channels) if slash else 1
    if not name or clock_rate_hz is None or channel_count is None:
        return None
    return name.strip(), clock_rate_hz, channel_count


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
