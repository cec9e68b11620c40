"""The codecs there are, by the name an rtpmap gives them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from core.audio.codec import Codec, Pcma, Pcmu
from core.audio.g722 import G722

CODECS: Mapping[str, Callable[[], Codec]] = MappingProxyType({"PCMU": Pcmu, "PCMA": Pcma, "G722": G722})


def create_codec(name: str) -> Codec:
    """A codec for one call, in its initial state; names compare without case (RFC 4855 3).

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return CODECS[name.upper()]()
    except KeyError:
        raise ValueError(f"Unknown codec {name!r}: known are {', '.join(CODECS)}") from None
